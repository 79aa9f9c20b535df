// Runs a conversation with the `ws` package. Arguments: the folder of packages, the server's address; steps on stdin.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const [packages, base] = process.argv.slice(2)
const WebSocket = createRequire(packages + '/')('ws')
const converse = (0, eval)(readFileSync(new URL('converse.js', import.meta.url), 'utf8').replace(/^\/\/.*$/gm, ''))
process.stdout.write(JSON.stringify(await converse(WebSocket, base, JSON.parse(readFileSync(0, 'utf8')))))
