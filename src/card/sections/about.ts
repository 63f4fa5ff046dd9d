import { architectureOf, defaultArchitecture } from '../../architectures/index.js'
import { traitsOf } from '../../formats/index.js'
import { formatCount } from '../../io/units.js'
import { link, plain } from '../markdown.js'
import type { Subject } from '../subject.js'

/** What the model is, in a few sentences. */
export function aboutSection(subject: Subject): string {
  const { release, config, parameters } = subject
  const formats = [...new Set(subject.artifacts.map(({ format }) => traitsOf(format).short))]
  const inFormats = `in ${formats.length === 1 ? '' : 'the '}${list(formats)} format${formats.length === 1 ? '' : 's'}`
  // As the names of models have it: 3.43B.
  const count = parameters === undefined ? '' : formatCount(parameters).replace(' ', '')
  const size = count === '' ? '' : ` with ${count} parameters`
  if (release === undefined) {
    const { title } = architectureOf(config ?? { model_type: defaultArchitecture })
    return `A ${title} model${size}, ${inFormats}. ${geometry(config)}`.trim()
  }
  const { title, repository, partner, tokens, data } = release
  return [
    `The weights of ${link(title, `https://huggingface.co/${repository}`)}, a language model${size}, ${inFormats}.`,
    `OpenLLaMA is a permissively licensed reproduction of Meta AI's LLaMA. This model was trained from scratch${partner === undefined ? '' : `, in collaboration with ${partner},`} on ${tokens} of ${plain(data)}.`,
    'It is a base model: it continues text, and was not trained to follow instructions or to chat.',
    geometry(config),
  ]
    .join(' ')
    .trim()
}

function geometry(config: Subject['config']): string {
  if (config === undefined) return ''
  const heads =
    config.num_key_value_heads === config.num_attention_heads
      ? `${config.num_attention_heads} attention heads`
      : `${config.num_attention_heads} attention heads (${config.num_key_value_heads} for keys and values)`
  return `It has ${config.num_hidden_layers} layers, a hidden size of ${config.hidden_size}, ${heads}, a vocabulary of ${config.vocab_size} tokens and a context of ${config.max_position_embeddings} tokens.`
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
