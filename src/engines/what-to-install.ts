import type { EngineName } from '../record/check.js'
import type { Device } from './engine.js'

/** A device that is more than the processor itself. */
export type Gpu = Exclude<Device, 'auto' | 'cpu'>

/** Which devices each engine can have, somewhere. */
export const gpusOf = {
  'llama.cpp': ['cuda', 'metal', 'vulkan'],
  onnxruntime: ['cuda', 'webgpu', 'dml'],
} as const satisfies Record<EngineName, readonly Gpu[]>

/** What a device needs, for those who asked for it and have it not. */
export const whatToInstall: Record<Gpu, string> = {
  cuda: 'Install NVIDIA’s driver and CUDA 12, for ONNX Runtime also cuDNN 9 and `npm rebuild onnxruntime-node --onnxruntime-node-install=cuda12` (Linux x64), or choose the device cpu.',
  metal: 'Metal is macOS’s: choose the device cpu or vulkan here.',
  vulkan:
    'Install a Vulkan driver (on Debian and Ubuntu the packages libvulkan1 and mesa-vulkan-drivers), or choose the device cpu. A device in software is used where GGML_VK_VISIBLE_DEVICES=0 is set.',
  webgpu:
    'Install a driver of Vulkan 1.3 (Linux), Direct3D 12 (Windows) or Metal (macOS); ONNX Runtime has no webgpu on Linux arm64. Or choose the device cpu.',
  dml: 'DirectML is Windows’s: choose the device cpu or webgpu here.',
}
