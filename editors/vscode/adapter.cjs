// VS Code starts an adapter of runtime "node" by `node -e 'require(process.argv[1])'`, which takes no ES module.
import('./trace.mjs');
