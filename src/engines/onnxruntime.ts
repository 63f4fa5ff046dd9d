import './silence.js'
import { env } from 'onnxruntime-node'

export { InferenceSession, listSupportedBackends, Tensor } from 'onnxruntime-node'

// What goes wrong comes as an error, which is told in a sentence; its log would come before it.
env.logLevel = 'fatal'
