// The page's build: a handful of files, nothing inlined (the server's policy allows no inline
// script), licences of what is bundled beside them.
import { readFileSync } from 'node:fs';
import { defineConfig, type Plugin } from 'vite';

// `npm run dev` asks a running server.
const backend = process.env['GODWIT_SERVER'] ?? 'http://127.0.0.1:8080';

const BUNDLED = ['preact', 'temml', '@fontsource-variable/inter'];

function licences(): Plugin {
  return {
    name: 'licences',
    generateBundle() {
      const source = BUNDLED.map((name) => {
        const folder = new URL(`node_modules/${name}/`, import.meta.url);
        const { version } = JSON.parse(readFileSync(new URL('package.json', folder), 'utf8')) as { version: string };
        return `${name} ${version}\n\n${readFileSync(new URL('LICENSE', folder), 'utf8')}`;
      }).join('\n\n----\n\n');
      this.emitFile({ type: 'asset', fileName: 'assets/licences.txt', source });
    },
  };
}

export default defineConfig({
  plugins: [licences()],
  esbuild: { jsx: 'automatic', jsxImportSource: 'preact' },
  build: {
    target: ['chrome111', 'firefox114', 'safari16.4'],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700,
    reportCompressedSize: false,
  },
  server: { proxy: { '/v1': backend, '/info': backend } },
});
