// One conversation with a server over a WebSocket, step by step, and all that was said in it.
//
// It is one function, so that Node and a browser run the same text: `WebSocket` is the browser's own or that of `ws`,
// which has `ping` and fragments besides.
async (WebSocket, base, steps) => {
  const said = []
  const inbox = []
  let socket = null
  let wake = () => {}

  const note = (...what) => {
    said.push(what)
    wake()
  }

  const open = () =>
    new Promise((done, failed) => {
      socket = new WebSocket(base.replace('http', 'ws') + '/api/ws')
      socket.addEventListener('open', () => {
        note('opened', socket.extensions, socket.protocol)
        done()
      })
      socket.addEventListener('error', () => failed(new Error('there is no connection')))
      socket.addEventListener('message', ({ data }) => {
        inbox.push(data)
        note('received', data)
      })
      socket.addEventListener('close', ({ code, reason, wasClean }) => note('closed', code, reason, wasClean))
      if (socket.on) socket.on('pong', (data) => note('pong', data.toString()))
    })

  const until = async (found) => {
    const deadline = Date.now() + 20000
    for (let value; ; ) {
      if ((value = found())) return value
      if (Date.now() > deadline) throw new Error('it did not come: ' + found + JSON.stringify(said.slice(-5)))
      await new Promise((done) => {
        wake = done
        setTimeout(done, 1000)
      })
    }
  }

  const next = (wanted) =>
    until(() => {
      while (inbox.length) {
        const frame = inbox.shift()
        const value = JSON.parse(frame)
        if (wanted(value)) return value
      }
    })
  const send = (data, how) => {
    note('sent', data)
    how ? how() : socket.send(data)
  }

  let position = null
  for (const step of steps) {
    const text = step.text && step.text.replace('"POSITION"', JSON.stringify(position))
    switch (step.do) {
      case 'open':
        await open()
        break
      case 'send':
        send(text)
        break
      case 'fill':
        send(text + ' '.repeat(step.size - text.length))
        break
      case 'binary':
        note('binary')
        socket.send(new Uint8Array([1, 2, 3]))
        break
      case 'fragments':
        if (!socket.ping) {
          send(text)
          break
        }
        send(text, () => {
          socket.send(text.slice(0, 10), { fin: false })
          socket.send(text.slice(10, 30), { fin: false })
          socket.send(text.slice(30), { fin: true })
        })
        break
      case 'ping':
        if (!socket.ping) break
        socket.ping(step.data)
        await until(() => said.some(([kind, data]) => kind === 'pong' && data === step.data))
        break
      case 'answer':
        await next((value) => !value.specversion)
        break
      case 'event': {
        const event = await next((value) => value.type === step.type && value.subject === step.subject)
        position = { epoch: event.epoch, seq: event.seq }
        break
      }
      case 'post': {
        const response = await fetch(base + step.path, { method: 'POST' })
        if (!response.ok) throw new Error(step.path + ' ' + response.status)
        break
      }
      case 'close':
        socket.close(step.code, step.reason)
        await until(() => said.at(-1)[0] === 'closed')
        break
      case 'closed':
        await until(() => said.at(-1)[0] === 'closed')
        break
      default:
        throw new Error('no step ' + step.do)
    }
  }
  return said
}
