/* What the parts of the compiled search share: numbered keys, numbers of any size, and the composed world. */
#ifndef LAB_WALK_H
#define LAB_WALK_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX
enum { MOST_WORKERS = 64 };

/* An array that grows by doubling. */
typedef struct { char *data; size_t width, count, room; } Array;

void *array_grow(Array *array, size_t count); /* the place of so many more entries; NULL without memory */
void *array_add(Array *array, size_t count);  /* the same, zeroed */

#define AT(type, array, number) ((type *)(void *)((array).data + (size_t)(number) * sizeof(type)))

/* Different keys of so many words, each of which has a number, from 0 on. Whole keys are compared; a hash only finds
 * them. */
typedef struct { size_t words; Array keys; uint32_t *slots; size_t slot_count; } Keys;

uint64_t key_word_hash(uint64_t word, size_t place);
uint64_t key_hash(const uint64_t *key, size_t words); /* the words' hashes, each independent of the others, by xor */
uint32_t key_number(Keys *keys, const uint64_t *key, uint64_t hash); /* NONE without memory; new where it is the count before */
uint32_t key_find(const Keys *keys, const uint64_t *key, uint64_t hash); /* NONE where it has no number */
const uint64_t *key_of(const Keys *keys, uint32_t number);
void keys_free(Keys *keys);

/* One node of a worker's tree. A load has its followers in the world's `loads`. */
typedef struct {
    int8_t kind;
    uint8_t known, ended, tells, between;
    uint32_t operation, start, end, next, refused;
    size_t data;
} Node;

enum { LOAD, STORE, LOCK, UNLOCK, SYNC, CALL, NOTHING, PAUSE }; /* as in operation.py */

typedef struct { int32_t blocker; uint32_t after; } Answer; /* -1 where nothing blocks */

/* The composed world: where each worker is, and numbers of the bytes and of the lock. `python` knows the rest.
 *
 * A copy that is `reading` shares all but the scratch with the world that it was copied from, changes nothing of it, and
 * asks Python for nothing: where it meets what is not known yet its functions return -1 with the hash of that as
 * `unknown`, without a Python error. */
typedef struct {
    PyObject *python;
    int workers, locked, detects, has_invariant, in_between, spins, ring;
    size_t size, words; /* the bytes; the words of a content's key */
    Array trees[MOST_WORKERS], loads, load_data, store_data, answers, judged, hashes;
    uint32_t *load_slots;
    size_t load_slot_count;
    Keys contents, lock_steps, parts;
    int any_alike;
    uint8_t alike[MOST_WORKERS]; /* the first of the workers that each is interchangeable with */
    uint64_t *scratch;
    uint32_t at[MOST_WORKERS], content, lock;
    uint64_t news;
    int reading;
    uint64_t unknown;
} World;

int world_make(World *world, const char *bytes, size_t size); /* all return -1 where a Python error is set */
void world_free(World *world);
int world_choices(World *world, uint64_t *choices); /* a bit for each worker that can do its step now */
int world_step(World *world, int worker);
int world_parts(World *world, uint32_t *parts); /* what makes up the state: the bytes, the lock, and a part for each worker */
PyObject *world_state(const World *world); /* where each worker is, the bytes, the lock, and the news */

int world_ended(const World *world, const char *path, size_t length, int cut, int *over); /* 1 where this end breaks */
int world_late(const World *world, int *over); /* looks at the clock */

/* Search by so many threads: the number of states, of all schedules and of those that break; None where one thread has
 * to do it. */
PyObject *walk_layers(World *world, size_t longest, int jobs);

#endif
