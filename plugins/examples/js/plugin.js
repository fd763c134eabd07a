// The smallest storage plugin, in JavaScript: a list of fragments, and every search looks at each of them.

// Everything that was written, in the order written. A fragment's handle is its place among all.
const fragments = [];
const traces = new Map(); // trace id → handles of its fragments
const known = new Map(); // service → (name and kind → operation)
let limit = 0;

const fail = (tag, text) => { throw { tag, val: text }; };

export const lifecycle = {
  describe: () => ({ name: 'minimal-js', version: '0.1.0', instancing: 'exclusive' }),
  open({ settings, memoryLimit }) {
    for (const { name } of settings) fail('invalid-argument', `unknown setting \`${name}\`: this plugin has none`);
    limit = Number(memoryLimit);
  },
};

export const writer = {
  write(now, memoryUsed, batches) {
    const size = batches.reduce((sum, b) => sum + b.otlp.length + b.digests.length + 8 * b.terms.length + 500 * b.fragments.length, 0);
    // The rest is for this batch as it came, a page that is answered, and what a search makes.
    if (Number(memoryUsed) + 3 * size > limit * 0.75) fail('resource-exhausted', 'full: three quarters of `limits.memory` are taken');
    for (const batch of batches) {
      for (const { service: index, name, kind } of batch.operations) {
        const service = batch.services[index];
        if (!known.has(service)) known.set(service, new Map());
        known.get(service).set(`${kind} ${name}`, { service, name, kind });
      }
      let terms = 0, digest = 0, otlp = 0;
      for (const it of batch.fragments) {
        const id = key(it.traceId);
        if (!traces.has(id)) traces.set(id, []);
        traces.get(id).push(BigInt(fragments.length));
        fragments.push({
          traceId: it.traceId, starts: it.starts, durations: it.durations,
          terms: batch.terms.slice(terms, it.termsEnd),
          digest: batch.digests.slice(digest, it.digestEnd),
          otlp: batch.otlp.slice(otlp, it.otlpEnd),
        });
        [terms, digest, otlp] = [it.termsEnd, it.digestEnd, it.otlpEnd];
      }
    }
  },
};

export const reader = {
  find({ starts, durations, clauses }, resume, limit) {
    const before = position(resume);
    const matching = [];
    fragments.forEach((it, handle) => {
      if (it.starts.start > starts.end || starts.start > it.starts.end) return;
      if (it.durations.shortest > durations.longest || durations.shortest > it.durations.longest) return;
      if (!clauses.every((clause) => clause.some((term) => has(it.terms, term)))) return;
      const newest = it.starts.end < starts.end ? it.starts.end : starts.end;
      const sighting = { traceId: it.traceId, newest, fragment: BigInt(handle) };
      if (!before || compare([newest, sighting.fragment], before) < 0) matching.push(sighting);
    });
    matching.sort((a, b) => compare([b.newest, b.fragment], [a.newest, a.fragment]));
    const found = matching.slice(0, limit);
    const last = found.at(-1);
    return {
      found,
      floor: last?.newest ?? 0n,
      resume: matching.length > limit ? resumeAt(last.newest, last.fragment) : undefined,
    };
  },

  read(wanted, part, resume, maxBytes) {
    const after = position(resume);
    const pieces = [];
    let size = 0, last;
    for (const place of asked(wanted)) {
      if (after && compare(place, after) <= 0) continue;
      if (size >= maxBytes && last) return { pieces, resume: resumeAt(...last) };
      const { traceId, [part]: bytes } = fragments[Number(place[1])];
      pieces.push({ traceId, fragment: place[1], bytes, droppedSpans: 0n });
      size += bytes.length;
      last = place;
    }
    return { pieces, resume: undefined };
  },

  services: () => [...known.keys()],
  operations: (service) => [...(known.get(service)?.values() ?? [])],
};

const key = ({ high, low }) => `${high} ${low}`;
const compare = ([a, b], [c, d]) => (a < c ? -1 : a > c ? 1 : b < d ? -1 : b > d ? 1 : 0);

// Terms are ascending.
function has(terms, wanted) {
  let low = 0, high = terms.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (terms[middle] < wanted) low = middle + 1; else high = middle;
  }
  return terms[low] === wanted;
}

// [place in `wanted`, handle] of each fragment, in this order.
function asked({ tag, val }) {
  if (tag === 'traces') {
    return val.flatMap((id, place) => (traces.get(key(id)) ?? []).map((handle) => [BigInt(place), handle]));
  }
  const places = [...val].map((handle, place) => [BigInt(place), handle]);
  return places.filter(([, handle]) => handle < fragments.length);
}

function resumeAt(major, minor) {
  const bytes = new DataView(new ArrayBuffer(16));
  bytes.setBigUint64(0, major);
  bytes.setBigUint64(8, minor);
  return new Uint8Array(bytes.buffer);
}

function position(resume) {
  if (resume === undefined) return undefined;
  if (resume.length !== 16) fail('invalid-argument', 'a `resume` that this plugin did not make');
  const bytes = new DataView(resume.buffer, resume.byteOffset, 16);
  return [bytes.getBigUint64(0), bytes.getBigUint64(8)];
}
