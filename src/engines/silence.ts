/**
 * ONNX Runtime reports its use to its maker, over the network and with a log in the temporary
 * folder. What a user converts is nobody's business. It looks at this once, as it is loaded.
 */
process.env.ORT_DISABLE_TELEMETRY ??= '1'
