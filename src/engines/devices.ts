import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { OpenLlamaError } from '../io/errors.js'
import type { EngineName } from '../record/check.js'
import type { Device } from './engine.js'
import { startLlama } from './llama-start.js'
import { listSupportedBackends } from './onnxruntime.js'
import { gpusOf, whatToInstall } from './what-to-install.js'

/** A place where models can be run here, or why not. */
export interface DeviceFound {
  engine: EngineName
  device: Exclude<Device, 'auto'>
  there: boolean
  /** The names of its devices, or what is missing. */
  detail: string
}

type Tried = Pick<DeviceFound, 'there' | 'detail'>

/** What there is to run models on, of both engines: each device has been tried. */
export async function listDevices(): Promise<DeviceFound[]> {
  const onCpu = { device: 'cpu', there: true, detail: 'in the package' } as const
  const found: DeviceFound[] = [{ engine: 'onnxruntime', ...onCpu }]
  for (const device of gpusOf.onnxruntime) {
    found.push({ engine: 'onnxruntime', device, ...(await tryRuntime(device)) })
  }
  found.push({ engine: 'llama.cpp', ...onCpu })
  for (const device of gpusOf['llama.cpp']) {
    found.push({ engine: 'llama.cpp', device, ...(await tryLlama(device)) })
  }
  return found
}

async function tryLlama(device: (typeof gpusOf)['llama.cpp'][number]): Promise<Tried> {
  const missing = { there: false, detail: whatToInstall[device] }
  try {
    const { llama, dispose } = await startLlama(device)
    const names = await llama.getGpuDeviceNames()
    await dispose()
    return names.length > 0 ? { there: true, detail: names.join(', ') } : missing
  } catch (error) {
    if (!(error instanceof OpenLlamaError)) throw error
    return missing
  }
}

/** Longer than any driver takes to say that it is there. */
const patience = 30_000

/** Tries a device of ONNX Runtime in another process, which may end or write what it likes. */
async function tryRuntime(device: (typeof gpusOf)['onnxruntime'][number]): Promise<Tried> {
  const missing = { there: false, detail: whatToInstall[device] }
  if (!listSupportedBackends().some(({ name }) => name === device)) return missing
  const child = fork(fileURLToPath(new URL('./probe.js', import.meta.url)), [device], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    timeout: patience,
  })
  let there = false
  child.on('message', (message) => {
    there = message === true
  })
  await once(child, 'exit')
  return there ? { there, detail: 'a session starts on it' } : missing
}
