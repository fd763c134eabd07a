"""The smallest storage plugin, in Python: a list of fragments, and every search looks at each of them."""

from bisect import bisect_left

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.lifecycle import Info, Instancing
from wit_world.exports.reader import Part, Piece, Pieces, Sighting, Sightings, Wanted_Traces
from wit_world.imports.types import Error_InvalidArgument, Error_ResourceExhausted, Operation

# Everything that was written, in the order written: (trace id, starts, durations, terms, digest, otlp).
# A fragment's handle is its place among all.
fragments = []
# The handles of each trace's fragments.
traces = {}
# (service, name, kind): Operation
known = {}
memory_limit = 0


class Lifecycle(exports.Lifecycle):
    def describe(self):
        return Info("minimal-python", "0.1.0", Instancing.EXCLUSIVE)

    def open(self, environment):
        global memory_limit
        for setting in environment.settings:
            raise Err(Error_InvalidArgument(f"unknown setting `{setting.name}`: this plugin has none"))
        memory_limit = environment.memory_limit


class Writer(exports.Writer):
    def write(self, now, memory_used, batches):
        # A term is an object of 32 bytes and a reference of 8; a fragment's tuple and records take about 800 bytes.
        size = sum(len(b.otlp) + len(b.digests) + 40 * len(b.terms) + 800 * len(b.fragments) for b in batches)
        # The rest is for this batch as it came, a page that is answered, and what a search makes.
        if memory_used + 3 * size > memory_limit * 3 // 4:
            raise Err(Error_ResourceExhausted("full: three quarters of `limits.memory` are taken"))
        for batch in batches:
            for it in batch.operations:
                service = batch.services[it.service]
                known.setdefault((service, it.name, it.kind), Operation(service, it.name, it.kind))
            terms = digest = otlp = 0
            for it in batch.fragments:
                traces.setdefault(key(it.trace_id), []).append(len(fragments))
                fragments.append((
                    it.trace_id, it.starts, it.durations, batch.terms[terms : it.terms_end],
                    batch.digests[digest : it.digest_end], batch.otlp[otlp : it.otlp_end],
                ))
                terms, digest, otlp = it.terms_end, it.digest_end, it.otlp_end


class Reader(exports.Reader):
    def find(self, search, resume, limit):
        before = position(resume)
        matching = []
        for handle, (trace_id, starts, durations, terms, _, _) in enumerate(fragments):
            if admits(search, starts, durations, terms):
                place = (min(starts.end, search.starts.end), handle)
                if before is None or place < before:
                    matching.append((place, trace_id))
        matching.sort(key=lambda it: it[0], reverse=True)
        page = matching[:limit]
        found = [Sighting(trace_id, newest, handle) for (newest, handle), trace_id in page]
        floor = found[-1].newest if found else 0
        return Sightings(found, floor, resume_at(page[-1][0]) if len(matching) > limit else None)

    def read(self, wanted, part, resume, max_bytes):
        after = position(resume)
        pieces, size, last = [], 0, None
        for place in asked(wanted):
            if after is not None and place <= after:
                continue
            if size >= max_bytes and last is not None:
                return Pieces(pieces, resume_at(last))
            trace_id, _, _, _, digest, otlp = fragments[place[1]]
            data = digest if part == Part.DIGEST else otlp
            pieces.append(Piece(trace_id, place[1], data, 0))
            size, last = size + len(data), place
        return Pieces(pieces, None)

    def services(self):
        return sorted({service for service, _, _ in known})

    def operations(self, service):
        return [it for it in known.values() if it.service == service]


def key(trace_id):
    return trace_id.high, trace_id.low


def admits(search, starts, durations, terms):
    return (
        starts.start <= search.starts.end
        and search.starts.start <= starts.end
        and durations.shortest <= search.durations.longest
        and search.durations.shortest <= durations.longest
        and all(any(has(terms, term) for term in clause) for clause in search.clauses)
    )


def has(terms, wanted):
    """Terms are ascending."""
    place = bisect_left(terms, wanted)
    return place < len(terms) and terms[place] == wanted


def asked(wanted):
    """(place in `wanted`, handle) of each fragment, in this order."""
    if isinstance(wanted, Wanted_Traces):
        return [(place, handle) for place, it in enumerate(wanted.value) for handle in traces.get(key(it), ())]
    return [(place, handle) for place, handle in enumerate(wanted.value) if handle < len(fragments)]


def resume_at(place):
    return place[0].to_bytes(8) + place[1].to_bytes(8)


def position(resume):
    if resume is None:
        return None
    if len(resume) != 16:
        raise Err(Error_InvalidArgument("a `resume` that this plugin did not make"))
    return int.from_bytes(resume[:8]), int.from_bytes(resume[8:])
