export { main, buildProgram } from './main.js';
export {
  defineConfig,
  loadConfig,
  type BoardEntry,
  type DoorbellConfig,
  type LoadedConfig,
  type PluginEntry,
} from './config.js';
export { EXIT } from './exit.js';
