import { addInput, addNode, addOutput, encodeModel, startGraph } from '../graph/model.js'
import { InferenceSession } from './onnxruntime.js'

// Run by devices.ts in a process of its own: a driver that ends its process, or writes to the
// terminal, does it there.
const [device = 'cpu'] = process.argv.slice(2)
process.send?.(await probe(device))

/** Whether ONNX Runtime computes on a device: its list has also those that it could not load. */
async function probe(device: string): Promise<boolean> {
  const graph = startGraph('probe')
  addInput(graph, 'a', 'f32', [1, 1])
  addNode(graph, 'MatMul', 'product', ['a', 'a'])
  addOutput(graph, 'product', 'f32', [1, 1])
  const model = encodeModel(graph, { opset: 17, producer: { name: 'openllama', version: '' } })
  try {
    const session = await InferenceSession.create(model, {
      executionProviders: [device],
      logSeverityLevel: 4,
      extra: { session: { disable_cpu_ep_fallback: '1' } },
    })
    await session.release()
    return true
  } catch {
    return false
  }
}
