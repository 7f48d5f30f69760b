// BullMQ on Node, with the command line and output that `peer.py` describes. Its priority 0 precedes all others.
import fs from 'node:fs'
import { Queue, Worker } from 'bullmq'

const [verb, port, countArgument, ...rest] = process.argv.slice(2)
const connection = { host: '127.0.0.1', port: Number(port), maxRetriesPerRequest: null }
const count = Number(countArgument)
const sleep = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000))
const jobOptions = { removeOnComplete: true, removeOnFail: true, attempts: 100 }
const BATCH = 1000
const TRICKLE_INTERVAL_SECONDS = 0.01

function createJob(sentAt, number) {
  const priority = Number(rest[0])
  const options = priority ? { ...jobOptions, priority } : jobOptions
  return { name: 'run', data: { sentAt, milliseconds: Number(rest[1]), priority, number }, opts: options }
}

async function work() {
  const [file, concurrency] = rest
  const out = file === '-' ? null : fs.openSync(file, 'a')
  const waits = []
  let firstStart = 0
  let total = 0
  const run = async ({ data }) => {
    const startedAt = Date.now() / 1000
    if (data.milliseconds) await sleep(data.milliseconds / 1000)
    firstStart ||= startedAt
    total += 1
    if (out !== null) fs.writeSync(out, `${data.priority}:${data.number}\n`)
    if (data.priority !== 0) return
    waits.push(startedAt - data.sentAt)
    if (waits.length < count) return
    waits.sort((a, b) => a - b)
    const quantile = (q) => waits[Math.min(waits.length - 1, Math.floor(waits.length * q))] * 1000
    const seconds = Date.now() / 1000 - firstStart
    const result = { jobs: total, seconds, p50_ms: quantile(0.5), p99_ms: quantile(0.99) }
    fs.writeSync(1, `${JSON.stringify(result)}\n`)
    process.exit(0)
  }
  // A job whose worker has been silent for 2 s is requeued; the default is 30 s.
  const stalledJobs = { lockDuration: 2000, stalledInterval: 2000, maxStalledCount: 100 }
  new Worker('jobs', run, { connection, concurrency: Number(concurrency), ...stalledJobs })
}

async function fill(queue) {
  const startedAt = Date.now()
  for (let first = 0; first < count; first += BATCH) {
    const batch = []
    for (let number = first; number < Math.min(first + BATCH, count); number += 1) {
      batch.push(createJob(Date.now() / 1000, number))
    }
    await queue.addBulk(batch)
  }
  fs.writeSync(1, `${JSON.stringify({ seconds: (Date.now() - startedAt) / 1000 })}\n`)
}

async function trickle(queue) {
  await queue.waitUntilReady()
  const startedAt = Date.now() / 1000
  for (let number = 0; number < count; number += 1) {
    const dueAt = startedAt + number * TRICKLE_INTERVAL_SECONDS
    await sleep(Math.max(0, dueAt - Date.now() / 1000))
    const job = createJob(dueAt, number)
    await queue.add(job.name, job.data, job.opts)
  }
}

if (verb === 'work') {
  await work()
} else {
  const queue = new Queue('jobs', { connection })
  await (verb === 'fill' ? fill(queue) : trickle(queue))
  await queue.close()
}
