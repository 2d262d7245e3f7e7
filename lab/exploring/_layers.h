/* What the threads of a search in layers share: see _layers.c. */
#ifndef LAB_LAYERS_H
#define LAB_LAYERS_H

#include "_walk.h"
#include <pthread.h>
#include <signal.h>
#include <stddef.h>

enum {
    MOST_JOBS = 64,
    CHUNK = 1 << 13, /* of the layer, for each thread between two turns: what they send fits into the caches */
};

typedef struct { uint64_t low, high; } Count;

/* A state of a layer, and the message about one: `from` is the number of its last step, or of the one before it, and
 * `state` its number, or the worker that did the step. In a message the state's key follows the places of the workers. */
typedef struct {
    Count ways;
    uint64_t news, hash;
    uint32_t content, lock, from, state;
    uint32_t at[];
} Entry;

typedef struct { uint32_t layer, entry; uint8_t ends; } Place; /* of a state: where it was met last; how it ends */
enum { GOES_ON, ENDS_WELL, BREAKS };

typedef struct { uint32_t before; uint8_t worker; } Step; /* of the path to an entry */

typedef struct { uint64_t unknown, waiting; uint32_t entry; uint8_t chosen; } Left; /* steps that were not done yet */

typedef struct Layers Layers;

/* What one thread has: the states that belong to it, and what it sends to each of the others. */
typedef struct {
    Layers *of;
    World world; /* a copy that reads */
    uint64_t *scratch;
    Keys states;
    Array places, steps, layer, next, ends, left, todo, *sent;
    size_t again;
    int failed; /* bits */
} Part;

enum { NO_MEMORY = 1, TOO_LARGE = 2 };

typedef void Phase(Part *part);

struct Layers {
    World world;
    Part *parts;
    int jobs, over, gives_up;
    size_t begin, longest;
    uint32_t depth;
    Count every, broken;
    Phase *phase; /* what follows is about the threads */
    int started, threads, running, ended;
    unsigned turn;
    pthread_t thread[MOST_JOBS];
    pthread_mutex_t mutex;
    pthread_cond_t begins, done;
};

int count_add(Count *to, Count more); /* 1 where it is too large */
Entry *entry_in(const Array *array, size_t number);
void go_to(World *world, const Entry *entry);

int part_tells(Part *part, World *world, Count ways, uint32_t from, int worker); /* of the world's state, its owner */
int part_goes_on(Part *part, World *world, Left *left); /* does the steps that are left: -1 where one cannot be done */

/* What all parts do side by side. */
void part_goes_through(Part *part); /* a chunk of its layer */
void part_tries_again(Part *part);  /* what is to do, once more is known */
void part_numbers(Part *part);      /* the states that were sent to it */

#endif
