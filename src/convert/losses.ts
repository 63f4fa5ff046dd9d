import { list } from '../checkpoint/geometry.js'
import { describeLoss, needsLeave } from '../formats/losses.js'
import { inputError } from '../io/errors.js'
import type { Conversion } from './convert.js'

/** @throws input error where the format cannot say all of the model, and that is not allowed */
export function refuseLosses({ checkpoint, plan, options }: Conversion): void {
  const { format, losses = [] } = plan.target
  const unsaid = losses.filter((loss) => needsLeave(loss, checkpoint.config))
  if (unsaid.length === 0 || options.allowLoss) return
  throw inputError(`${format} does not hold all of it: ${list(unsaid.map(describeLoss), 4)}`, {
    path: checkpoint.path,
    suggestions: [
      'With `allowLoss` it is converted all the same, and openllama.json records what is lost.',
      'safetensors, pytorch and onnx hold all of it.',
    ],
  })
}
