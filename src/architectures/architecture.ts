/**
 * What is particular to one architecture, as data: what its configuration says, which tensors it
 * has, what each naming calls them and how they lie there, and what the graph of a layer does.
 * Shapes are Hugging Face's, [out, in], in terms of the sizes.
 */
export interface Architecture {
  /** `model_type` in a config.json. */
  readonly name: string
  /** For people. */
  readonly title: string
  /** `architectures` in a config.json, as it is written. */
  readonly class: string
  /** The class under other names, and the models without a head, which are read too. */
  readonly otherClasses: readonly string[]
  readonly config: ConfigRules
  /** In the order of a forward pass; `{i}` in a name stands for the layer, `{e}` for the expert. */
  readonly roles: readonly Role[]
  /** Where the rows of a pair lie in each naming that has names for the tensors. */
  readonly rotary: Readonly<Partial<Record<Naming, RotaryOrder>>> & { readonly hf: RotaryOrder }
  /** Arrays in files of a naming that are not tensors one to one. */
  readonly bindings: Readonly<Partial<Record<Naming, readonly Binding[]>>>
  readonly block: Block
  readonly gguf: GgufTraits
  /** `model.type` in onnxruntime-genai's genai_config.json. */
  readonly genai: string
}

/** Whose names and layout tensors have. */
export type Naming = 'hf' | 'easylm' | 'meta' | 'gguf' | 'hf-flax'

/** Those that some files are told to have: Meta's code's own, and GGUF's, which quantization goes by. */
export const namings = { meta: 'meta', gguf: 'gguf' } as const satisfies Record<string, Naming>

/**
 * Namings that keep kernels, [in, out], where Hugging Face has [out, in]; an embedding is a table
 * there, not a kernel.
 */
export const kernelNamings: ReadonlySet<Naming> = new Set<Naming>(['easylm', 'hf-flax'])

/** `half`: the first rows of all pairs, then the second; `interleaved`: pair by pair. */
type RotaryOrder = 'half' | 'interleaved'

/** The sizes that shapes are made of. */
const sizeNames = ['vocab', 'hidden', 'intermediate', 'query', 'key', 'head'] as const
export type SizeName = (typeof sizeNames)[number]

/** Fields of a configuration that say whether some tensors are there. */
export type Switch = 'attention_bias' | 'mlp_bias'

export interface Role {
  readonly names: Readonly<Partial<Record<Naming, string>>> & { readonly hf: string }
  readonly shape: readonly SizeName[]
  /** Its rows are paired up by rotary embedding. */
  readonly rotary: boolean
  /** `untied`: absent where the embedding serves as the output head too. */
  readonly presence: 'always' | 'untied' | Switch
  /**
   * How tensor parallelism shares it out: by rows, by columns, or a whole copy for each. The
   * embedding goes by columns or by rows, from generation to generation.
   */
  readonly split: 'rows' | 'columns' | 'copies' | 'either'
}

/** How an array in a file and the tensors of the model are each other's, by the naming's names. */
export type Binding = RowsBinding | StackBinding | AddBinding

/** The rows of several tensors, one after the other. */
export interface RowsBinding {
  readonly op: 'rows'
  readonly stored: string
  readonly tensors: readonly string[]
  /** Whether files are written so at all times, or where it is asked for. */
  readonly written: 'always' | 'asked'
}

/** One tensor of each expert, which `{e}` stands for, along an axis of their own, the first. */
export interface StackBinding {
  readonly op: 'stack'
  readonly stored: string
  readonly tensor: string
}

/** A tensor to whose elements a number was added. */
interface AddBinding {
  readonly op: 'add'
  readonly stored: string
  readonly value: number
}

/** What a config.json of the architecture says beyond what all say. */
interface ConfigRules {
  /** The fields among `Switch` that it has. */
  readonly switches: readonly Switch[]
  /** Fields that may have one value only, or be left out. */
  readonly only: Readonly<Record<string, boolean | string>>
  /**
   * Whether tokens attend to those of a window alone: never, or where the field `sliding_window`
   * says so, which has a default.
   */
  readonly window: 'never' | { readonly default: number }
  /** Written whatever the source says of them, and kept where a source has them otherwise. */
  readonly usual: Readonly<Record<string, boolean | number>>
  /** Whether `head_dim` is said at all times, or only where it is not hidden_size / heads. */
  readonly headDim: 'always' | 'unusual'
  /** What a configuration that leaves a field out means, where it is not what a LLaMA's does. */
  readonly defaults: {
    readonly max_position_embeddings?: number
    readonly bos_token_id?: null
    readonly eos_token_id?: null
  }
  /** Constants that its readers want to see. */
  readonly constants: Readonly<Record<string, boolean>>
}

/** What a layer computes beyond a LLaMA's. */
interface Block {
  /** RMSNorm of each head's queries and keys, before they are rotated. */
  readonly headNorm: boolean
}

/** What llama.cpp makes of the architecture. */
interface GgufTraits {
  /** `general.architecture`. */
  readonly name: string
  /** Whether its graph takes factors of the rotary frequencies, which are tensors. */
  readonly factors: boolean
  /** Whether its graph takes heads of another size than hidden_size / num_attention_heads. */
  readonly headDim: boolean
  /** Whether its converter says how many tokens there are, and how many rows of a head are rotated. */
  readonly sizes: boolean
}
