/* The same search by several threads, in layers: the states that are so many steps away, then those one step further.
 *
 * A state belongs to one thread, by its hash, which gives it its number without a lock. In turns all threads do steps
 * from the states of their layer, reading only what is known of the world, and all number the states that were sent to
 * them. What is not known yet is left to the first thread, which has Python and nobody beside it: it does one step of
 * each kind, and the others are tried again. The ways to a state are counted, not those from it; one that is met again
 * in a later layer is gone through again with the ways of that length. */

#include "_layers.h"

enum {
    ALONE = 1 << 9,  /* so few are done by the first thread: others would take as long to wake */
    AGAIN = 1 << 14, /* so many states may be met again in later layers, beside a share: else workers go in circles */
};

static int no_memory(void)
{
    PyErr_NoMemory();
    return -1;
}

static void *thread_main(void *given)
{
    Part *part = given;
    Layers *layers = part->of;
    unsigned turn = 0;
    pthread_mutex_lock(&layers->mutex);
    for (;;) {
        while (layers->turn == turn && !layers->ended)
            pthread_cond_wait(&layers->begins, &layers->mutex);
        if (layers->ended)
            break;
        turn = layers->turn;
        pthread_mutex_unlock(&layers->mutex);
        layers->phase(part);
        pthread_mutex_lock(&layers->mutex);
        if (!--layers->running)
            pthread_cond_signal(&layers->done);
    }
    pthread_mutex_unlock(&layers->mutex);
    return NULL;
}

/* Start the threads, without signals, which are for the one that has Python; of those refused it does the work too. */
static void start_threads(Layers *layers)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (layers->threads + 1 < layers->jobs &&
           !pthread_create(&layers->thread[layers->threads], NULL, thread_main, &layers->parts[layers->threads + 1]))
        layers->threads++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    layers->started = 1;
}

static void end_threads(Layers *layers)
{
    pthread_mutex_lock(&layers->mutex);
    layers->ended = 1;
    pthread_cond_broadcast(&layers->begins);
    pthread_mutex_unlock(&layers->mutex);
    for (int number = 0; number < layers->threads; number++)
        pthread_join(layers->thread[number], NULL);
}

/* Do a phase for all parts, side by side where there is much of it: -1 where one failed. */
static int take_turn(Layers *layers, Phase *phase, size_t size)
{
    int failed = 0;
    PyThreadState *python = NULL;
    if (size >= ALONE && !layers->started)
        start_threads(layers);
    int threads = size >= ALONE ? layers->threads : 0;
    if (threads) {
        python = PyEval_SaveThread();
        pthread_mutex_lock(&layers->mutex);
        layers->phase = phase;
        layers->running = threads;
        layers->turn++;
        pthread_cond_broadcast(&layers->begins);
        pthread_mutex_unlock(&layers->mutex);
    }
    for (int number = 0; number < layers->jobs; number += number ? 1 : 1 + threads)
        phase(&layers->parts[number]);
    if (threads) {
        pthread_mutex_lock(&layers->mutex);
        while (layers->running)
            pthread_cond_wait(&layers->done, &layers->mutex);
        pthread_mutex_unlock(&layers->mutex);
        PyEval_RestoreThread(python);
    }
    for (int number = 0; number < layers->jobs; number++)
        failed |= layers->parts[number].failed;
    layers->gives_up |= failed & TOO_LARGE;
    return failed & NO_MEMORY ? no_memory() : 0;
}

static int in_order(const void *one, const void *other)
{
    const Left *a = one, *b = other;
    if (a->unknown != b->unknown)
        return a->unknown < b->unknown ? -1 : 1;
    return a->entry < b->entry ? -1 : a->entry > b->entry;
}

/* Do one step of each kind that is not known, with Python, or all where they are few; the others are to be tried again. */
static int settle(Layers *layers, Part *part, int all)
{
    Left *left = (Left *)(void *)part->left.data;
    if (part->left.count)
        qsort(left, part->left.count, sizeof *left, in_order);
    for (size_t number = 0; number < part->left.count; number++) {
        if (all || !number || left[number].unknown != left[number - 1].unknown) {
            if (part_goes_on(part, &layers->world, &left[number]) < 0)
                return -1;
        } else {
            Left *place = array_add(&part->todo, 1);
            if (!place)
                return no_memory();
            *place = left[number];
        }
    }
    part->left.count = 0;
    return 0;
}

static size_t count_of(const Layers *layers, size_t offset)
{
    size_t count = 0;
    for (int number = 0; number < layers->jobs; number++)
        count += ((const Array *)(const void *)((const char *)&layers->parts[number] + offset))->count;
    return count;
}

#define COUNT(layers, array) count_of(layers, offsetof(Part, array))

/* Do the steps that are left, until none is. */
static int settle_all(Layers *layers)
{
    for (size_t left; (left = COUNT(layers, left)) > 0;) {
        for (int number = 0; number < layers->jobs; number++)
            if (settle(layers, &layers->parts[number], left < ALONE) < 0)
                return -1;
        if (take_turn(layers, part_tries_again, COUNT(layers, todo)) < 0)
            return -1;
    }
    return 0;
}

/* Tell Python of an end that is met for the first time, with the path that led there. */
static int told(Layers *layers, const Entry *entry, Place *place)
{
    size_t length = layers->depth - 1;
    uint32_t from = entry->from;
    char *path = malloc(length + 1);
    if (!path)
        return no_memory();
    for (size_t at = length; at--;) {
        const Step *step = AT(Step, layers->parts[from % (unsigned)layers->jobs].steps, from / (unsigned)layers->jobs);
        path[at] = (char)step->worker;
        from = step->before;
    }
    go_to(&layers->world, entry);
    int breaks = world_ended(&layers->world, path, length, 0, &layers->over);
    free(path);
    if (breaks < 0)
        return -1;
    place->ends = breaks ? BREAKS : ENDS_WELL;
    return 0;
}

static int count_ends(Layers *layers, Part *part)
{
    for (size_t number = 0; number < part->ends.count && !layers->over; number++) {
        const Entry *entry = entry_in(&part->layer, *AT(uint32_t, part->ends, number));
        Place *place = AT(Place, part->places, entry->state);
        if (place->ends == GOES_ON && told(layers, entry, place) < 0)
            return -1;
        layers->gives_up |= count_add(&layers->every, entry->ways);
        layers->gives_up |= place->ends == BREAKS && count_add(&layers->broken, entry->ways);
    }
    part->ends.count = 0;
    return 0;
}

/* Go on from a chunk of the layer. */
static int chunk(Layers *layers, size_t size)
{
    if (take_turn(layers, part_goes_through, size) < 0 || settle_all(layers) < 0)
        return -1;
    size_t sent = 0;
    for (int number = 0; number < layers->jobs; number++) {
        if (count_ends(layers, &layers->parts[number]) < 0)
            return -1;
        for (int owner = 0; owner < layers->jobs; owner++)
            sent += layers->parts[number].sent[owner].count;
    }
    layers->gives_up |= layers->world.spins;
    return take_turn(layers, part_numbers, sent) < 0 || PyErr_CheckSignals() < 0 || world_late(&layers->world, &layers->over) < 0
               ? -1
               : 0;
}

/* Make the next layer the layer; return the most entries of a part. */
static size_t next_layer(Layers *layers)
{
    size_t most = 0, again = 0, states = 0;
    for (int number = 0; number < layers->jobs; number++) {
        Part *part = &layers->parts[number];
        Array layer = part->layer;
        part->layer = part->next;
        part->next = layer;
        part->next.count = 0;
        most = part->layer.count > most ? part->layer.count : most;
        again += part->again;
        states += part->places.count;
    }
    layers->depth++;
    layers->gives_up |= again > AGAIN + states / 4 || (most && layers->depth > layers->longest);
    return most;
}

static int search(Layers *layers)
{
    layers->gives_up = layers->world.spins;
    if (part_tells(&layers->parts[0], &layers->world, (Count){1, 0}, NONE, 0) < 0 || take_turn(layers, part_numbers, 1) < 0)
        return -1;
    for (size_t most; !layers->over && (most = next_layer(layers)) > 0 && !layers->gives_up;)
        for (layers->begin = 0; layers->begin < most && !layers->over && !layers->gives_up; layers->begin += CHUNK)
            if (chunk(layers, COUNT(layers, layer)) < 0)
                return -1;
    return 0;
}

static int make(Layers *layers)
{
    const World *world = &layers->world;
    size_t words = (size_t)(world->workers + 3) / 2;
    size_t width = (offsetof(Entry, at) + (size_t)world->workers * sizeof(uint32_t) + 7) / 8 * 8;
    layers->parts = calloc((size_t)layers->jobs, sizeof *layers->parts);
    for (int number = 0; layers->parts && number < layers->jobs; number++) {
        Part *part = &layers->parts[number];
        part->of = layers;
        part->states.words = words;
        part->places.width = sizeof(Place);
        part->steps.width = sizeof(Step);
        part->ends.width = sizeof(uint32_t);
        part->layer.width = part->next.width = width;
        part->left.width = part->todo.width = sizeof(Left);
        part->scratch = calloc(world->words, 8);
        part->sent = calloc((size_t)layers->jobs, sizeof *part->sent);
        if (!part->scratch || !part->sent)
            return no_memory();
        for (int owner = 0; owner < layers->jobs; owner++)
            part->sent[owner].width = width + words * 8;
    }
    return layers->parts ? 0 : no_memory();
}

static void unmake(Layers *layers)
{
    for (int number = 0; layers->parts && number < layers->jobs; number++) {
        Part *part = &layers->parts[number];
        for (int owner = 0; part->sent && owner < layers->jobs; owner++)
            free(part->sent[owner].data);
        Array *arrays[] = {&part->places, &part->steps, &part->layer, &part->next, &part->ends, &part->left, &part->todo};
        for (size_t at = 0; at < sizeof arrays / sizeof *arrays; at++)
            free(arrays[at]->data);
        free(part->sent);
        free(part->scratch);
        keys_free(&part->states);
    }
    free(layers->parts);
}

PyObject *walk_layers(World *world, size_t longest, int jobs)
{
    Layers layers = {.world = *world, .jobs = jobs < MOST_JOBS ? jobs : MOST_JOBS, .longest = longest};
    pthread_mutex_init(&layers.mutex, NULL);
    pthread_cond_init(&layers.begins, NULL);
    pthread_cond_init(&layers.done, NULL);
    PyObject *result = NULL;
    if (make(&layers) == 0 && search(&layers) == 0)
        result = layers.gives_up ? Py_NewRef(Py_None)
                                 : Py_BuildValue("ny#y#O", (Py_ssize_t)COUNT(&layers, places), (const char *)&layers.every,
                                                 (Py_ssize_t)sizeof(Count), (const char *)&layers.broken,
                                                 (Py_ssize_t)sizeof(Count), Py_False);
    end_threads(&layers);
    pthread_cond_destroy(&layers.done);
    pthread_cond_destroy(&layers.begins);
    pthread_mutex_destroy(&layers.mutex);
    unmake(&layers);
    *world = layers.world;
    return result;
}
