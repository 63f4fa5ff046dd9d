#!/usr/bin/env node
// Builds, then runs what was built, with oclif's development checks.
import { execute } from '@oclif/core'

await import('../scripts/build.js')
await execute({ development: true, dir: import.meta.url })
