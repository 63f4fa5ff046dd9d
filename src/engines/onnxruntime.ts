import './silence.js'

export { InferenceSession, listSupportedBackends, Tensor } from 'onnxruntime-node'
