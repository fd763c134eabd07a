// The smallest storage plugin, in C: a list of fragments, and every search looks at each of them.

#include <stdlib.h>
#include <string.h>

#include "bindings/plugin.h"

// The record, the terms and the bytes lie in the lists of a batch, which are kept as they came.
typedef struct fragment {
  const exports_writer_fragment_t *record;
  exports_reader_list_term_t terms;
  plugin_list_u8_t digest, otlp;
  uint64_t handle;
  struct fragment *next; // of the same trace
} fragment_t;

// A hash map, whose keys are bytes.
typedef struct { struct entry **buckets, *latest; size_t len, count; } map_t;

typedef struct entry {
  struct entry *next, *earlier; // in its bucket, and in the map
  union {
    struct { fragment_t *first, *last; }; // of `traces`
    map_t operations;                     // of `services`, by name
    uint32_t kinds;                       // of `operations`, a bit each
  };
  uint64_t hash;
  plugin_string_t key;
} entry_t;

// A place in an order: by the first number, then by the second.
typedef struct { uint64_t major, minor; } place_t;

// Everything that was written, in the order written. A fragment's handle is its place among all.
static fragment_t **fragments;
static map_t traces, services;
static uint64_t count, memory_limit, seed;

// When memory runs out, the instance ends, and the host opens another one.
static void *allocate(void *old, size_t size) {
  void *it = size ? realloc(old, size) : NULL;
  if (size && !it) abort();
  return it;
}

// A list with room for one more. It grows when its length is a power of two.
static void *with_room(void *list, size_t len, size_t size) {
  return len & (len - 1) ? list : allocate(list, (len ? 2 * len : 1) * size);
}

static uint8_t *copy(const void *bytes, size_t len) { return len ? memcpy(allocate(NULL, len), bytes, len) : NULL; }

static bool fail(types_error_t *error, uint8_t tag, const char *text) {
  error->tag = tag;
  plugin_string_dup(&error->val.other, text);
  return false;
}

static uint64_t hash(const uint8_t *key, size_t len) {
  uint64_t state = seed;
  for (size_t i = 0; i < len; i++) state = (state ^ key[i]) * 0x100000001b3;
  return state ^ state >> 32;
}

static entry_t *get(const map_t *map, const void *key, size_t len) {
  uint64_t wanted = hash(key, len);
  entry_t *it = map->len ? map->buckets[wanted % map->len] : NULL;
  while (it && !(it->hash == wanted && it->key.len == len && !memcmp(it->key.ptr, key, len))) it = it->next;
  return it;
}

static void link_in(map_t *map, entry_t *it) {
  entry_t **bucket = &map->buckets[it->hash % map->len];
  it->next = *bucket;
  *bucket = it;
}

static entry_t *get_or_add(map_t *map, const void *key, size_t len) {
  entry_t *it = get(map, key, len);
  if (it) return it;
  if (map->count == map->len) {
    map->len = map->len ? 2 * map->len : 16;
    map->buckets = allocate(map->buckets, map->len * sizeof *map->buckets);
    memset(map->buckets, 0, map->len * sizeof *map->buckets);
    for (it = map->latest; it; it = it->earlier) link_in(map, it);
  }
  it = allocate(NULL, sizeof *it);
  *it = (entry_t){.earlier = map->latest, .hash = hash(key, len), .key = {copy(key, len), len}};
  link_in(map, it);
  map->latest = it;
  map->count++;
  return it;
}

void exports_lifecycle_describe(exports_lifecycle_info_t *info) {
  plugin_string_dup(&info->name, "minimal-c");
  plugin_string_dup(&info->version, "0.1.0");
  info->instancing = EXPORTS_LIFECYCLE_INSTANCING_EXCLUSIVE;
}

bool exports_lifecycle_open(exports_lifecycle_environment_t *environment, types_error_t *error) {
  bool has_settings = environment->settings.len > 0;
  memory_limit = environment->memory_limit;
  seed = environment->seed;
  exports_lifecycle_environment_free(environment);
  return !has_settings || fail(error, TYPES_ERROR_INVALID_ARGUMENT, "an unknown setting: this plugin has none");
}

static void keep_operations(const exports_writer_batch_t *batch) {
  for (size_t i = 0; i < batch->operations.len; i++) {
    const exports_writer_batch_operation_t *it = &batch->operations.ptr[i];
    const plugin_string_t *service = &batch->services.ptr[it->service];
    map_t *operations = &get_or_add(&services, service->ptr, service->len)->operations;
    get_or_add(operations, it->name.ptr, it->name.len)->kinds |= 1u << it->kind;
  }
}

static void keep(exports_writer_batch_t *batch) {
  keep_operations(batch);
  fragment_t *its = allocate(NULL, batch->fragments.len * sizeof *its);
  for (size_t i = 0, terms = 0, digest = 0, otlp = 0; i < batch->fragments.len; i++, its++) {
    const exports_writer_fragment_t *it = &batch->fragments.ptr[i];
    *its = (fragment_t){.record = it, .handle = count};
    its->terms = (exports_reader_list_term_t){batch->terms.ptr + terms, it->terms_end - terms};
    its->digest = (plugin_list_u8_t){batch->digests.ptr + digest, it->digest_end - digest};
    its->otlp = (plugin_list_u8_t){batch->otlp.ptr + otlp, it->otlp_end - otlp};
    terms = it->terms_end, digest = it->digest_end, otlp = it->otlp_end;
    entry_t *trace = get_or_add(&traces, &it->trace_id, sizeof it->trace_id);
    *(trace->last ? &trace->last->next : &trace->first) = its;
    fragments = with_room(fragments, count, sizeof *fragments);
    trace->last = fragments[count++] = its;
  }
  // These lists are kept; the others are freed with the batch.
  batch->fragments.len = batch->terms.len = batch->digests.len = batch->otlp.len = 0;
}

bool exports_writer_write(uint64_t now, uint64_t used, exports_writer_list_batch_t *batches, types_error_t *error) {
  // A fragment's record, its place in the list, and its trace's entry take up to 250 bytes.
  uint64_t size = 0;
  for (size_t i = 0; i < batches->len; i++) {
    const exports_writer_batch_t *it = &batches->ptr[i];
    size += it->otlp.len + it->digests.len + 8 * it->terms.len + 250 * it->fragments.len;
  }
  // The rest is for a page that is answered, and for what a search makes.
  bool has_room = used + 2 * size <= memory_limit / 4 * 3;
  for (size_t i = 0; i < batches->len && has_room; i++) keep(&batches->ptr[i]);
  exports_writer_list_batch_free(batches);
  return has_room || fail(error, TYPES_ERROR_RESOURCE_EXHAUSTED, "full: three quarters of `limits.memory` are taken");
}

static bool has(const fragment_t *it, uint64_t term) {
  const uint64_t *from = it->terms.ptr; // they are ascending
  size_t len = it->terms.len;
  while (len > 1) {
    size_t half = len / 2;
    if (from[half] <= term) from += half;
    len -= half;
  }
  return len == 1 && *from == term;
}

static bool admits(const exports_reader_search_t *search, const fragment_t *it) {
  exports_writer_time_range_t starts = it->record->starts;
  exports_writer_duration_range_t durations = it->record->durations;
  if (starts.start > search->starts.end || search->starts.start > starts.end) return false;
  if (durations.shortest > search->durations.longest || search->durations.shortest > durations.longest) return false;
  for (size_t i = 0, k; i < search->clauses.len; i++) {
    const exports_reader_list_term_t *clause = &search->clauses.ptr[i];
    for (k = 0; k < clause->len && !has(it, clause->ptr[k]);) k++;
    if (k == clause->len) return false;
  }
  return true;
}

static int compare(const void *a, const void *b) {
  const place_t *x = a, *y = b;
  if (x->major != y->major) return x->major < y->major ? -1 : 1;
  return (x->minor > y->minor) - (x->minor < y->minor);
}

// A place as it is in memory, as only this plugin reads it.
static plugin_option_list_u8_t resume_at(place_t place) {
  return (plugin_option_list_u8_t){true, {copy(&place, sizeof place), sizeof place}};
}

// Leaves `place` as it is where there is no resume.
static bool take_resume(plugin_list_u8_t *resume, place_t *place, types_error_t *error) {
  if (!resume) return true;
  bool is_ours = resume->len == sizeof *place;
  if (is_ours) memcpy(place, resume->ptr, sizeof *place);
  plugin_list_u8_free(resume);
  return is_ours || fail(error, TYPES_ERROR_INVALID_ARGUMENT, "a `resume` that this plugin did not make");
}

bool exports_reader_find(exports_reader_search_t *search, plugin_list_u8_t *resume, uint32_t limit,
                         exports_reader_sightings_t *page, types_error_t *error) {
  place_t before = {UINT64_MAX, UINT64_MAX}, *places = NULL;
  if (!take_resume(resume, &before, error)) return exports_reader_search_free(search), false;
  size_t left = 0;
  for (size_t i = 0; i < count; i++) {
    uint64_t end = fragments[i]->record->starts.end;
    place_t place = {end < search->starts.end ? end : search->starts.end, i};
    if (!admits(search, fragments[i]) || compare(&place, &before) >= 0) continue;
    places = with_room(places, left, sizeof *places);
    places[left++] = place;
  }
  qsort(places, left, sizeof *places, compare);
  size_t most = left < limit ? left : limit;
  *page = (exports_reader_sightings_t){.found.ptr = allocate(NULL, most * sizeof *page->found.ptr)};
  while (page->found.len < most) {
    place_t it = places[--left];
    types_trace_id_t id = fragments[it.minor]->record->trace_id;
    page->found.ptr[page->found.len++] = (exports_reader_sighting_t){id, it.major, {true, it.minor}};
    page->floor = it.major;
  }
  if (left > 0) page->resume = resume_at(places[left]);
  free(places);
  exports_reader_search_free(search);
  return true;
}

static const fragment_t *first_of(const exports_reader_wanted_t *wanted, size_t i) {
  const uint64_t *handle = &wanted->val.fragments.ptr[i];
  if (wanted->tag == EXPORTS_READER_WANTED_FRAGMENTS) return *handle < count ? fragments[*handle] : NULL;
  const entry_t *trace = get(&traces, &wanted->val.traces.ptr[i], sizeof(types_trace_id_t));
  return trace ? trace->first : NULL;
}

bool exports_reader_read(exports_reader_wanted_t *wanted, exports_reader_part_t part, plugin_list_u8_t *resume,
                         uint32_t max_bytes, exports_reader_pieces_t *page, types_error_t *error) {
  // (index into `wanted`, handle) of the first piece.
  place_t from = {0, 0};
  if (!take_resume(resume, &from, error)) return exports_reader_wanted_free(wanted), false;
  bool of_traces = wanted->tag == EXPORTS_READER_WANTED_TRACES;
  size_t len = of_traces ? wanted->val.traces.len : wanted->val.fragments.len, size = 0;
  *page = (exports_reader_pieces_t){0};
  for (size_t i = from.major; i < len && !page->resume.is_some; i++) {
    for (const fragment_t *it = first_of(wanted, i); it; it = of_traces ? it->next : NULL) {
      if (i == from.major && it->handle < from.minor) continue;
      if (size >= max_bytes && page->pieces.len) {
        page->resume = resume_at((place_t){i, it->handle});
        break;
      }
      // A copy: what is answered is freed afterwards.
      plugin_list_u8_t bytes = part == EXPORTS_READER_PART_DIGEST ? it->digest : it->otlp;
      bytes.ptr = copy(bytes.ptr, bytes.len);
      page->pieces.ptr = with_room(page->pieces.ptr, page->pieces.len, sizeof *page->pieces.ptr);
      page->pieces.ptr[page->pieces.len++] = (exports_reader_piece_t){it->record->trace_id, it->handle, bytes, 0};
      size += bytes.len;
    }
  }
  exports_reader_wanted_free(wanted);
  return true;
}

static plugin_string_t copied(plugin_string_t it) { return (plugin_string_t){copy(it.ptr, it.len), it.len}; }

bool exports_reader_services(plugin_list_string_t *names, types_error_t *error) {
  *names = (plugin_list_string_t){.ptr = allocate(NULL, services.count * sizeof *names->ptr)};
  for (const entry_t *it = services.latest; it; it = it->earlier) names->ptr[names->len++] = copied(it->key);
  return true;
}

bool exports_reader_operations(plugin_string_t *of, exports_reader_list_operation_t *list, types_error_t *error) {
  const entry_t *service = get(&services, of->ptr, of->len);
  *list = (exports_reader_list_operation_t){0};
  for (const entry_t *it = service ? service->operations.latest : NULL; it; it = it->earlier)
    for (uint8_t kind = 0; kind < 32; kind++) {
      if (!(it->kinds >> kind & 1)) continue;
      list->ptr = with_room(list->ptr, list->len, sizeof *list->ptr);
      list->ptr[list->len++] = (types_operation_t){copied(service->key), copied(it->key), kind};
    }
  plugin_string_free(of);
  return true;
}
