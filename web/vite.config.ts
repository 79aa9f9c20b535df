import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { constants, gzip } from 'node:zlib';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

const SMALLEST_WORTH_PACKING = 1024;

/** Writes `x.gz` beside every text file of the build, so that the server never compresses anything itself. */
function precompress(): Plugin {
  let folder = '';
  return {
    name: 'plugbay-precompress',
    apply: 'build',
    configResolved(config) {
      folder = config.build.outDir;
    },
    async closeBundle() {
      const names = await readdir(folder, { recursive: true });
      const texts = names.filter((name) => /\.(html|js|css|svg)$/.test(name));
      await Promise.all(
        texts.map(async (name) => {
          const content = await readFile(join(folder, name));
          if (content.length < SMALLEST_WORTH_PACKING) return;
          const packed = await promisify(gzip)(content, { level: constants.Z_BEST_COMPRESSION });
          await writeFile(join(folder, `${name}.gz`), packed);
        }),
      );
    },
  };
}

/** Lets the page be painted first when the script has set language and appearance: nothing flashes. */
function paintAfterScript(): Plugin {
  return {
    name: 'plugbay-paint-after-script',
    transformIndexHtml: {
      order: 'post',
      handler: (html) => html.replace('<script type="module"', '<script blocking="render" type="module"'),
    },
  };
}

export default defineConfig({
  plugins: [svelte(), paintAfterScript(), precompress()],
  build: {
    outDir: '../service/_web',
    emptyOutDir: true,
    // The content policy allows no inline script, and a file that is fetched can be cached for good.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: 'es2022',
    // The first versions with light-dark(), so that it is not rewritten.
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
  },
  server: {
    proxy: {
      '/api': { target: process.env.PLUGBAY_URL ?? 'http://127.0.0.1:8000', ws: true, changeOrigin: true },
    },
  },
  test: {
    include: ['tests/**/*.test.ts'],
    environment: 'node',
  },
});
