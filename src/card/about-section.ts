import { formatCount } from '../io/units.js'
import { link, plain } from './markdown.js'
import { formatTitles, type Subject } from './subject.js'

/** What the model is, in a few sentences. */
export function aboutSection(subject: Subject): string {
  const { release, config, parameters, artifacts } = subject
  const formats = [...new Set(artifacts.map(({ format }) => formatTitles[format]))]
  const size = parameters === undefined ? '' : ` of ${formatCount(parameters)} parameters`
  const sentences =
    release === undefined
      ? [`A LLaMA model${size}, in ${list(formats)}.`]
      : [
          `The weights of ${link(release.title, `https://huggingface.co/${release.repository}`)}${size}, in ${list(formats)}.`,
          `OpenLLaMA reproduces Meta AI's LLaMA under a permissive licence: this model was trained from scratch on ${release.tokens} of ${plain(release.data)}${release.partner ? `, together with ${release.partner}` : ''}.`,
          'It continues text; it was not trained to follow instructions or to talk.',
        ]
  if (config !== undefined) {
    const groups =
      config.num_key_value_heads === config.num_attention_heads
        ? ''
        : ` (${config.num_key_value_heads} for keys and values)`
    sentences.push(
      `${config.num_hidden_layers} layers of hidden size ${config.hidden_size}, ${config.num_attention_heads} heads${groups}, a vocabulary of ${config.vocab_size} pieces, ${config.max_position_embeddings} tokens of context.`,
    )
  }
  return sentences.join(' ')
}

function list(words: readonly string[]): string {
  return words.length < 2
    ? words.join('')
    : `${words.slice(0, -1).join(', ')} and ${words.at(-1) ?? ''}`
}

const openLlama = `@software{openlm2023openllama,
  author = {Geng, Xinyang and Liu, Hao},
  title  = {OpenLLaMA: An Open Reproduction of LLaMA},
  month  = may,
  year   = {2023},
  url    = {https://github.com/openlm-research/open_llama}
}`

const redPajama = `@software{together2023redpajama,
  author = {{Together Computer}},
  title  = {RedPajama-Data: An Open Source Recipe to Reproduce LLaMA training dataset},
  month  = apr,
  year   = {2023},
  url    = {https://github.com/togethercomputer/RedPajama-Data}
}`

const llama = `@article{touvron2023llama,
  author  = {Touvron, Hugo and Lavril, Thibaut and Izacard, Gautier and Martinet, Xavier and Lachaux, Marie-Anne and Lacroix, Timoth{\\'e}e and Rozi{\\\`e}re, Baptiste and Goyal, Naman and Hambro, Eric and Azhar, Faisal and Rodriguez, Aurelien and Joulin, Armand and Grave, Edouard and Lample, Guillaume},
  title   = {LLaMA: Open and Efficient Foundation Language Models},
  journal = {arXiv preprint arXiv:2302.13971},
  year    = {2023}
}`

/** Whom to cite: of a release its authors, those of its data, and LLaMA's. */
export function citationSection({ release }: Subject): string {
  const entries = release === undefined ? [llama] : [openLlama, redPajama, llama]
  return `## Citation\n\n\`\`\`bibtex\n${entries.join('\n\n')}\n\`\`\``
}
