// BullMQ on Node; the same command line and output as `peer.py` describes. Its priority 0 comes before all others.
import fs from 'node:fs'
import { Queue, Worker } from 'bullmq'

const [verb, port, wanted, ...rest] = process.argv.slice(2)
const connection = { host: '127.0.0.1', port: Number(port), maxRetriesPerRequest: null }
const count = Number(wanted)
const sleep = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000))
const removed = { removeOnComplete: true, removeOnFail: true, attempts: 100 }
const AT_ONCE = 1000
const TRICKLE_SECONDS = 0.01

function job(sent, number) {
  const priority = Number(rest[0])
  const options = priority ? { ...removed, priority } : removed
  return { name: 'run', data: { sent, milliseconds: Number(rest[1]), priority, number }, opts: options }
}

async function work() {
  const [file, concurrency] = rest
  const out = file === '-' ? null : fs.openSync(file, 'a')
  const waits = []
  let began = 0
  let ran = 0
  const run = async ({ data }) => {
    const started = Date.now() / 1000
    if (data.milliseconds) await sleep(data.milliseconds / 1000)
    began ||= started
    ran += 1
    if (out !== null) fs.writeSync(out, `${data.priority}:${data.number}\n`)
    if (data.priority !== 0) return
    waits.push(started - data.sent)
    if (waits.length < count) return
    waits.sort((a, b) => a - b)
    const at = (share) => waits[Math.min(waits.length - 1, Math.floor(waits.length * share))] * 1000
    const figures = { jobs: ran, seconds: Date.now() / 1000 - began, p50_ms: at(0.5), p99_ms: at(0.99) }
    fs.writeSync(1, `${JSON.stringify(figures)}\n`)
    process.exit(0)
  }
  // A job whose worker is silent for 2 s is put back; by default that is half a minute.
  const patience = { lockDuration: 2000, stalledInterval: 2000, maxStalledCount: 100 }
  new Worker('jobs', run, { connection, concurrency: Number(concurrency), ...patience })
}

async function fill(queue) {
  const began = Date.now()
  for (let first = 0; first < count; first += AT_ONCE) {
    const batch = []
    for (let number = first; number < Math.min(first + AT_ONCE, count); number += 1) {
      batch.push(job(Date.now() / 1000, number))
    }
    await queue.addBulk(batch)
  }
  fs.writeSync(1, `${JSON.stringify({ seconds: (Date.now() - began) / 1000 })}\n`)
}

async function trickle(queue) {
  await queue.waitUntilReady()
  const began = Date.now() / 1000
  for (let number = 0; number < count; number += 1) {
    const due = began + number * TRICKLE_SECONDS
    await sleep(Math.max(0, due - Date.now() / 1000))
    const one = job(due, number)
    await queue.add(one.name, one.data, one.opts)
  }
}

if (verb === 'work') {
  await work()
} else {
  const queue = new Queue('jobs', { connection })
  await (verb === 'fill' ? fill(queue) : trickle(queue))
  await queue.close()
}
