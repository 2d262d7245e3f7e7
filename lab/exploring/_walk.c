/* The search through states reached once, compiled: the same as `every_state` in lab/exploring/search.py, state by state.
 * The numbers of ways to go on from a state have as many 64-bit limbs as the largest of them needs. */

#include "_walk.h"

enum { LOOK_EVERY = 1024, SIGNALS_EVERY = 4096, ALL = 0, BROKEN = 1 };

typedef struct { uint64_t news, waiting; uint32_t state, content, lock, node; } Frame; /* the node of who goes on next */

typedef struct {
    World world;
    Keys states;
    Array open, frames, ways, sums, path; /* by state, by frame, by state, by frame: all and broken ones */
    size_t limbs, longest, met, steps;
    int circles, over, spins;
} Walk;

static int no_memory(void)
{
    PyErr_NoMemory();
    return -1;
}

static uint64_t *number_in(const Walk *walk, const Array *numbers, size_t at, int which)
{
    return (uint64_t *)(void *)(numbers->data + at * numbers->width) + which * walk->limbs;
}

/* Give all numbers of this array one more limb. */
static int widen_array(Array *numbers, size_t limbs)
{
    size_t width = 2 * (limbs + 1) * sizeof(uint64_t);
    uint64_t *wide = calloc(numbers->room + 1, width);
    if (!wide)
        return no_memory();
    const uint64_t *old = (const uint64_t *)(const void *)numbers->data;
    for (size_t at = 0; at < 2 * numbers->count; at++)
        memcpy(wide + at * (limbs + 1), old + at * limbs, limbs * sizeof *wide);
    free(numbers->data);
    numbers->data = (char *)wide;
    numbers->width = width;
    return 0;
}

static int widen(Walk *walk)
{
    if (widen_array(&walk->ways, walk->limbs) < 0 || widen_array(&walk->sums, walk->limbs) < 0)
        return -1;
    walk->limbs++;
    return 0;
}

/* Add the number at one place to the one at another. */
static int add(Walk *walk, Array *to, size_t to_at, const Array *from, size_t from_at, int which)
{
    uint64_t *sum = number_in(walk, to, to_at, which), carry = 0;
    const uint64_t *more = number_in(walk, from, from_at, which);
    for (size_t limb = 0; limb < walk->limbs; limb++) {
        uint64_t with = sum[limb] + carry;
        carry = with < carry;
        sum[limb] = with + more[limb];
        carry += sum[limb] < with;
    }
    if (!carry)
        return 0;
    if (widen(walk) < 0)
        return -1;
    number_in(walk, to, to_at, which)[walk->limbs - 1] = 1;
    return 0;
}

/* Return the number of the world's state, or NONE. */
static uint32_t state_now(Walk *walk)
{
    uint64_t key[MOST_WORKERS / 2 + 2] = {0};
    uint32_t parts[MOST_WORKERS + 2];
    World *world = &walk->world;
    if (world_parts(world, parts) < 0)
        return NONE;
    memcpy(key, parts, (size_t)(world->workers + 2) * sizeof *parts);
    uint32_t state = key_number(&walk->states, key, key_hash(key, walk->states.words));
    if (state == NONE)
        no_memory();
    return state;
}

/* Tell Python of the end that the path leads to; its ways are 1, and broken if that end is. */
static int ended(Walk *walk, uint32_t state, int cut)
{
    const char *path = walk->path.count ? walk->path.data : "";
    int breaks = world_ended(&walk->world, path, walk->path.count, cut, &walk->over);
    if (breaks < 0)
        return -1;
    if (!cut) {
        *number_in(walk, &walk->ways, state, ALL) = 1;
        *number_in(walk, &walk->ways, state, BROKEN) = (uint64_t)breaks;
    }
    return 0;
}

static int open_state(Walk *walk, uint32_t state, uint64_t choices)
{
    const World *world = &walk->world;
    Frame *frame = array_add(&walk->frames, 1);
    if (!frame || !array_add(&walk->sums, 1))
        return no_memory();
    *frame = (Frame){world->news, choices, state, world->content, world->lock, 0};
    *AT(uint8_t, walk->open, state) = 1;
    return 0;
}

/* Note a state that is met for the first time. */
static int note(Walk *walk)
{
    return array_add(&walk->open, 1) && array_add(&walk->ways, 1) ? 0 : no_memory();
}

/* Undo the step that led here from the last frame's state. */
static void undo(Walk *walk)
{
    const Frame *frame = AT(Frame, walk->frames, walk->frames.count - 1);
    World *world = &walk->world;
    world->at[(uint8_t)walk->path.data[--walk->path.count]] = frame->node;
    world->content = frame->content;
    world->lock = frame->lock;
    world->news = frame->news;
}

/* Do the next step of the last frame's state: 1 where that opened a state, 0 where it led to a known one or an end. */
static int go_on(Walk *walk, Frame *frame, uint32_t *state)
{
    World *world = &walk->world;
    int worker = __builtin_ctzll(frame->waiting);
    uint64_t choices;
    char *step = array_add(&walk->path, 1);
    if (!step)
        return no_memory();
    *step = (char)worker;
    frame->waiting &= frame->waiting - 1;
    frame->node = world->at[worker];
    if (world_step(world, worker) < 0 || (*state = state_now(walk)) == NONE)
        return -1;
    if (*state < walk->open.count) {
        walk->circles |= *AT(uint8_t, walk->open, *state);
        return 0;
    }
    if (note(walk) < 0 || world_choices(world, &choices) < 0)
        return -1;
    if (choices && walk->frames.count < walk->longest)
        return open_state(walk, *state, choices) < 0 ? -1 : 1;
    return ended(walk, *state, choices != 0);
}

/* Search; the numbers of ways are in the first entry of the sums in the end. */
static int run(Walk *walk)
{
    uint64_t choices;
    if (state_now(walk) == NONE || note(walk) < 0 || world_choices(&walk->world, &choices) < 0)
        return -1;
    if (!choices) {
        if (ended(walk, 0, 0) < 0 || !array_add(&walk->sums, 1))
            return PyErr_Occurred() ? -1 : no_memory();
        return add(walk, &walk->sums, 0, &walk->ways, 0, ALL) | add(walk, &walk->sums, 0, &walk->ways, 0, BROKEN);
    }
    if (open_state(walk, 0, choices) < 0)
        return -1;
    for (;;) {
        Frame *frame = AT(Frame, walk->frames, walk->frames.count - 1);
        uint32_t state = frame->state;
        if (walk->world.spins != walk->spins) /* the states before lack the news */
            return 0;
        if (++walk->steps % SIGNALS_EVERY == 0 && PyErr_CheckSignals() < 0)
            return -1;
        if (!frame->waiting) {
            size_t last = walk->frames.count - 1;
            *AT(uint8_t, walk->open, state) = 0;
            memcpy(number_in(walk, &walk->ways, state, ALL), number_in(walk, &walk->sums, last, ALL), walk->sums.width);
            if (!last)
                return 0;
            walk->frames.count--;
            walk->sums.count--;
            undo(walk);
        } else {
            int opened = go_on(walk, frame, &state);
            if (opened < 0)
                return -1;
            if (opened)
                continue;
            undo(walk);
            if (!walk->over && ++walk->met % LOOK_EVERY == 0 && world_late(&walk->world, &walk->over) < 0)
                return -1;
        }
        /* The ways from a state that leads back here have no number: none is added. */
        size_t last = walk->frames.count - 1;
        if (!*AT(uint8_t, walk->open, state) &&
            (add(walk, &walk->sums, last, &walk->ways, state, ALL) < 0 ||
             add(walk, &walk->sums, last, &walk->ways, state, BROKEN) < 0))
            return -1;
        if (!walk->over)
            continue;
        for (; last; last--)
            if (add(walk, &walk->sums, 0, &walk->sums, last, ALL) < 0 || add(walk, &walk->sums, 0, &walk->sums, last, BROKEN) < 0)
                return -1;
        return 0;
    }
}

static PyObject *states(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    Walk walk = {.limbs = 1};
    World *world = &walk.world;
    const char *bytes;
    const uint8_t *alike;
    Py_ssize_t size, alike_count;
    unsigned long long news;
    Py_ssize_t longest;
    int jobs;
    if (!PyArg_ParseTuple(arguments, "Oiy#Knpppppiy#i", &world->python, &world->workers, &bytes, &size, &news, &longest,
                          &world->locked, &world->detects, &world->has_invariant, &world->in_between, &world->spins,
                          &world->ring, &alike, &alike_count, &jobs))
        return NULL;
    world->any_alike = alike_count > 0;
    memcpy(world->alike, alike, (size_t)alike_count);
    world->news = news;
    walk.longest = (size_t)longest;
    walk.spins = world->spins;
    walk.states.words = (size_t)(world->workers + 3) / 2;
    walk.open.width = walk.path.width = 1;
    walk.frames.width = sizeof(Frame);
    walk.ways.width = walk.sums.width = 2 * sizeof(uint64_t);
    PyObject *result = NULL;
    int made = world_make(world, bytes, (size_t)size) == 0;
    if (made && jobs > 1) {
        result = walk_layers(world, walk.longest, jobs);
    } else if (made && run(&walk) == 0) {
        Py_ssize_t limb_bytes = (Py_ssize_t)(walk.limbs * sizeof(uint64_t));
        result = world->spins != walk.spins
                     ? Py_NewRef(Py_None)
                     : Py_BuildValue("ny#y#N", (Py_ssize_t)walk.states.keys.count, number_in(&walk, &walk.sums, 0, ALL),
                                     limb_bytes, number_in(&walk, &walk.sums, 0, BROKEN), limb_bytes,
                                     PyBool_FromLong(walk.circles));
    }
    world_free(world);
    keys_free(&walk.states);
    Array *arrays[] = {&walk.open, &walk.frames, &walk.ways, &walk.sums, &walk.path};
    for (size_t at = 0; at < sizeof arrays / sizeof *arrays; at++)
        free(arrays[at]->data);
    return result;
}

static PyMethodDef methods[] = {
    {"states", states, METH_VARARGS,
     "The number of states, of the schedules through them, and of those that break, and whether a state leads back to "
     "itself. None where the search has to begin anew: a worker was seen to spin, or threads, the last argument, cannot "
     "search these states."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot module_slots[] = {{0, NULL}};

static PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "lab.exploring._walk",
    .m_doc = "The search through states reached once, compiled.",
    .m_methods = methods,
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__walk(void) { return PyModuleDef_Init(&module_definition); }
