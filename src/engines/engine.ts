/** Where a model can be run; `auto` is for the engine to choose, and to say. */
export const devices = ['auto', 'cpu', 'cuda', 'metal', 'vulkan', 'webgpu', 'dml'] as const
export type Device = (typeof devices)[number]

export interface EngineOptions {
  device: Device
  /** By default as many as there are physical cores. */
  threads?: number
}

/** A model that is loaded and can be run. Token lists begin with BOS where the model wants one. */
export interface Engine {
  /** What it runs on. */
  readonly device: Exclude<Device, 'auto'>
  /** What the user should know of how it runs, in sentences. */
  readonly notes: readonly string[]
  /**
   * Runs the model once over all tokens.
   * @returns [tokens, vocabulary], row-major: row i is what follows token i
   */
  logits(tokens: readonly number[]): Promise<Float32Array>
  /**
   * Continues greedily: at each step the likeliest token, of equals the first.
   * @param most tokens at most; fewer where the model ends
   * @returns the new tokens, the one that ends the text among them
   */
  generate(tokens: readonly number[], most: number): Promise<number[]>
  dispose(): Promise<void>
}
