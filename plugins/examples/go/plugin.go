// Package plugin is the smallest storage plugin: a list of fragments, and every search looks at each of them.
package plugin

import (
	"cmp"
	"encoding/binary"
	"iter"
	"maps"
	"math"
	"runtime/debug"
	"slices"

	lifecycle "example.com/minimal-go/bindings/imports/larder_storage_lifecycle"
	reader "example.com/minimal-go/bindings/imports/larder_storage_reader"
	types "example.com/minimal-go/bindings/imports/larder_storage_types"
	writer "example.com/minimal-go/bindings/imports/larder_storage_writer"
	wit "go.bytecodealliance.org/pkg/wit/types"
)

type fragment struct {
	writer.Fragment
	terms        []types.Term
	digest, otlp []byte
}

var (
	// Everything that was written, in the order written. A fragment's handle is its index.
	fragments []*fragment
	// The handles of each trace's fragments.
	traces = map[types.TraceId][]uint64{}
	// The operations of each service.
	known       = map[string]map[types.Operation]struct{}{}
	memoryLimit uint64
)

func Describe() lifecycle.Info {
	return lifecycle.Info{Name: "minimal-go", Version: "0.1.0", Instancing: lifecycle.Instancing_Exclusive}
}

func Open(environment lifecycle.Environment) wit.Result[wit.Unit, types.Error] {
	for _, it := range environment.Settings {
		return invalid[wit.Unit]("unknown setting `" + it.Name + "`: this plugin has none")
	}
	memoryLimit = environment.MemoryLimit
	// From there on the collector runs before the heap has doubled.
	debug.SetMemoryLimit(int64(memoryLimit / 2))
	return wit.Ok[wit.Unit, types.Error](wit.Unit{})
}

func Write(_ types.Timestamp, memoryUsed uint64, batches []writer.Batch) wit.Result[wit.Unit, types.Error] {
	size := 0
	for _, it := range batches {
		// Terms are copied on their way. A fragment, its entry in the list, and its trace take up to 400 bytes.
		size += len(it.Otlp) + len(it.Digests) + 16*len(it.Terms) + 400*len(it.Fragments)
	}
	// The rest is for this batch as it came, a page that is answered, and what is not collected yet.
	if memoryUsed+3*uint64(size) > memoryLimit/4*3 {
		full := types.MakeErrorResourceExhausted("full: three quarters of `limits.memory` are taken")
		return wit.Err[wit.Unit](full)
	}
	for _, it := range batches {
		keep(&it)
	}
	return wit.Ok[wit.Unit, types.Error](wit.Unit{})
}

func keep(batch *writer.Batch) {
	for _, it := range batch.Operations {
		service := batch.Services[it.Service]
		if known[service] == nil {
			known[service] = map[types.Operation]struct{}{}
		}
		known[service][types.Operation{Service: service, Name: it.Name, Kind: it.Kind}] = struct{}{}
	}
	kept := make([]fragment, len(batch.Fragments))
	var terms, digest, otlp uint32
	for i, it := range batch.Fragments {
		kept[i] = fragment{
			Fragment: it,
			terms:    batch.Terms[terms:it.TermsEnd],
			digest:   batch.Digests[digest:it.DigestEnd],
			otlp:     batch.Otlp[otlp:it.OtlpEnd],
		}
		terms, digest, otlp = it.TermsEnd, it.DigestEnd, it.OtlpEnd
		traces[it.TraceId] = append(traces[it.TraceId], uint64(len(fragments)))
		fragments = append(fragments, &kept[i])
	}
}

func Find(search reader.Search, resume wit.Option[[]byte], limit uint32) wit.Result[reader.Sightings, types.Error] {
	before, ok := position(resume, place{math.MaxUint64, math.MaxUint64})
	if !ok {
		return invalid[reader.Sightings]("a `resume` that this plugin did not make")
	}
	var places []place
	for handle, it := range fragments {
		at := place{min(it.Starts.End, search.Starts.End), uint64(handle)}
		if it.isAdmittedBy(&search) && compare(at, before) < 0 {
			places = append(places, at)
		}
	}
	slices.SortFunc(places, func(a, b place) int { return compare(b, a) })
	page := reader.Sightings{Resume: wit.None[[]byte]()}
	if len(places) > int(limit) {
		places = places[:limit]
		page.Resume = resumeAt(places[limit-1])
	}
	for _, at := range places {
		sighting := reader.Sighting{TraceId: fragments[at.minor].TraceId, Newest: at.major, Fragment: wit.Some(at.minor)}
		page.Found = append(page.Found, sighting)
		page.Floor = at.major
	}
	return wit.Ok[reader.Sightings, types.Error](page)
}

func (it *fragment) isAdmittedBy(search *reader.Search) bool {
	isWithin := it.Starts.Start <= search.Starts.End && search.Starts.Start <= it.Starts.End &&
		it.Durations.Shortest <= search.Durations.Longest && search.Durations.Shortest <= it.Durations.Longest
	return isWithin && !slices.ContainsFunc(search.Clauses, func(clause []types.Term) bool {
		return !slices.ContainsFunc(clause, it.has)
	})
}

// Terms are ascending.
func (it *fragment) has(term types.Term) bool {
	_, found := slices.BinarySearch(it.terms, term)
	return found
}

func Read(wanted reader.Wanted, part reader.Part, resume wit.Option[[]byte], maxBytes uint32) wit.Result[reader.Pieces, types.Error] {
	// (index into `wanted`, handle) of the first piece.
	from, ok := position(resume, place{})
	if !ok {
		return invalid[reader.Pieces]("a `resume` that this plugin did not make")
	}
	page := reader.Pieces{Resume: wit.None[[]byte]()}
	size := 0
	for at := range asked(wanted, from) {
		if size >= int(maxBytes) && len(page.Pieces) > 0 {
			page.Resume = resumeAt(at)
			break
		}
		it := fragments[at.minor]
		bytes := it.otlp
		if part == reader.Part_Digest {
			bytes = it.digest
		}
		page.Pieces = append(page.Pieces, reader.Piece{TraceId: it.TraceId, Fragment: at.minor, Bytes: bytes})
		size += len(bytes)
	}
	return wit.Ok[reader.Pieces, types.Error](page)
}

// The places of the fragments that are wanted, in ascending order.
func asked(wanted reader.Wanted, from place) iter.Seq[place] {
	return func(yield func(place) bool) {
		give := func(index int, handle uint64) bool {
			at := place{uint64(index), handle}
			return compare(at, from) < 0 || yield(at)
		}
		if wanted.Tag() == reader.Wanted_Fragments {
			for index, handle := range wanted.Fragments() {
				if handle < uint64(len(fragments)) && !give(index, handle) {
					return
				}
			}
			return
		}
		for index, id := range wanted.Traces() {
			for _, handle := range traces[id] {
				if !give(index, handle) {
					return
				}
			}
		}
	}
}

func Services() wit.Result[[]string, types.Error] {
	return wit.Ok[[]string, types.Error](slices.Collect(maps.Keys(known)))
}

func Operations(service string) wit.Result[[]types.Operation, types.Error] {
	return wit.Ok[[]types.Operation, types.Error](slices.Collect(maps.Keys(known[service])))
}

// A place in an order: by the first number, then by the second.
type place struct{ major, minor uint64 }

func compare(a, b place) int {
	return cmp.Or(cmp.Compare(a.major, b.major), cmp.Compare(a.minor, b.minor))
}

func resumeAt(at place) wit.Option[[]byte] {
	return wit.Some(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, at.major), at.minor))
}

// False for a resume that is not of this plugin.
func position(resume wit.Option[[]byte], otherwise place) (place, bool) {
	if resume.IsNone() {
		return otherwise, true
	}
	bytes := resume.Some()
	if len(bytes) != 16 {
		return otherwise, false
	}
	return place{binary.BigEndian.Uint64(bytes), binary.BigEndian.Uint64(bytes[8:])}, true
}

func invalid[T any](text string) wit.Result[T, types.Error] {
	return wit.Err[T](types.MakeErrorInvalidArgument(text))
}
