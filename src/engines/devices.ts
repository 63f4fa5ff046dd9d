import { OpenLlamaError } from '../io/errors.js'
import type { EngineName } from './engine.js'
import { startLlama, whatToInstall } from './llama-start.js'
import { listSupportedBackends } from './onnxruntime.js'

/** A place where models can be run here, or why not. */
export interface DeviceFound {
  engine: EngineName
  device: string
  there: boolean
  /** The names of its devices, or what is missing. */
  detail: string
}

/** What there is to run models on, of both engines. */
export async function listDevices(): Promise<DeviceFound[]> {
  const found: DeviceFound[] = listSupportedBackends().map(({ name, bundled }) => ({
    engine: 'onnxruntime',
    device: name,
    there: true,
    detail: bundled ? 'in the package' : 'if its libraries are installed',
  }))
  found.push({ engine: 'llama.cpp', device: 'cpu', there: true, detail: 'in the package' })
  for (const device of ['cuda', 'metal', 'vulkan'] as const) {
    found.push({ engine: 'llama.cpp', device, ...(await tryGpu(device)) })
  }
  return found
}

async function tryGpu(
  device: 'cuda' | 'metal' | 'vulkan',
): Promise<Pick<DeviceFound, 'there' | 'detail'>> {
  try {
    const { llama, dispose } = await startLlama(device)
    const names = await llama.getGpuDeviceNames()
    await dispose()
    return names.length > 0
      ? { there: true, detail: names.join(', ') }
      : { there: false, detail: whatToInstall[device] }
  } catch (error) {
    if (!(error instanceof OpenLlamaError)) throw error
    return { there: false, detail: whatToInstall[device] }
  }
}
