/* The search for an order of the calls, compiled: the same as in lab/histories/search.py, configuration by configuration.
 * The automaton is asked once for each state and class of calls. */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { YES = 1, NO = 0, STOPPED = -1, FAILED = -2, NO_STATE = -1, LOOK_EVERY = 512, STATES_KEPT = 64 };
#define FREE UINT64_MAX
#define HAS(set, slot) ((set)[(slot) >> 6] >> ((slot) & 63) & 1)
#define ADD(set, slot) ((set)[(slot) >> 6] |= (uint64_t)1 << ((slot) & 63))
#define DROP(set, slot) ((set)[(slot) >> 6] &= ~((uint64_t)1 << ((slot) & 63)))

/* An array that grows; `failed` of the search is set where there is no memory. */
typedef struct { char *data; size_t width, count, room; } Array;
typedef struct { uint64_t key; int32_t after; } Step;
typedef struct { uint32_t before; int32_t event, state, padding; } Visited; /* then the words of the two sets */
typedef struct { int32_t event, state, next; size_t ordered; } Frame;

typedef struct {
    const int32_t *events, *classes;
    const uint8_t *reads;
    int32_t event_count, call_count, crashed_count;
    int32_t *returns, *slots, *crashed;               /* by call; by call; the calls that never came back, by start */
    int32_t *crashed_before, *running_from, *running_count, *running; /* by event: `running` by their ends */
    size_t live_words, words;
    PyObject *step, *stop, *states;
    Array steps, visited, frames, sets, order;        /* steps: open addressing; sets: those of the frames */
    size_t step_count;
    uint32_t *buckets;
    size_t bucket_count;
    int failed;
} Search;

static uint64_t mix(uint64_t hash)
{
    hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccdu;
    hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53u;
    return hash ^ hash >> 33;
}

static void *allocated(Search *self, size_t count, size_t width)
{
    void *data = calloc(count + 1, width);
    if (!data)
        self->failed = 1;
    return data;
}

/* Return the place of one more entry; NULL without memory. */
static void *added(Search *self, Array *array)
{
    if (array->count == array->room) {
        size_t room = array->room ? 2 * array->room : 256;
        char *data = realloc(array->data, room * array->width);
        if (!data)
            return self->failed = 1, NULL;
        array->data = data;
        array->room = room;
    }
    return array->data + array->width * array->count++;
}

static Step *step_place(const Array *steps, uint64_t key)
{
    size_t at = mix(key) & (steps->room - 1);
    Step *all = (Step *)steps->data;
    while (all[at].key != FREE && all[at].key != key)
        at = (at + 1) & (steps->room - 1);
    return &all[at];
}

static void grow_steps(Search *self)
{
    Array old = self->steps;
    self->steps.room = old.room ? 2 * old.room : 1024;
    self->steps.data = allocated(self, self->steps.room, sizeof(Step));
    if (self->failed) {
        self->steps = old;
        return;
    }
    memset(self->steps.data, 0xff, self->steps.room * sizeof(Step));
    for (size_t at = 0; at < old.room; at++) {
        const Step *step = (Step *)old.data + at;
        if (step->key != FREE)
            *step_place(&self->steps, step->key) = *step;
    }
    free(old.data);
}

static int32_t step(Search *self, int32_t state, int32_t number)
{
    uint64_t key = (uint64_t)(uint32_t)state << 32 | (uint32_t)number;
    Step *place = step_place(&self->steps, key);
    if (place->key == key)
        return place->after;
    PyObject *answer = PyObject_CallFunction(self->step, "ii", state, number);
    long after = answer ? PyLong_AsLong(answer) : NO_STATE;
    Py_XDECREF(answer);
    if (PyErr_Occurred())
        return self->failed = 1, NO_STATE;
    if (2 * ++self->step_count > self->steps.room) {
        grow_steps(self);
        if (self->failed)
            return NO_STATE;
        place = step_place(&self->steps, key);
    }
    *place = (Step){key, (int32_t)after};
    return place->after;
}

static size_t bucket_of(const Search *self, int32_t event, int32_t state, const uint64_t *live)
{
    uint64_t hash = mix((uint64_t)(uint32_t)event << 32 | (uint32_t)state);
    for (size_t word = 0; word < self->live_words; word++)
        hash = mix(hash ^ live[word]);
    return hash & (self->bucket_count - 1);
}

static void grow_buckets(Search *self)
{
    size_t count = self->bucket_count ? 2 * self->bucket_count : 1024;
    uint32_t *buckets = realloc(self->buckets, count * sizeof *buckets);
    if (!buckets) {
        self->failed = 1;
        return;
    }
    memset(buckets, 0xff, count * sizeof *buckets);
    self->buckets = buckets;
    self->bucket_count = count;
    for (size_t number = 0; number < self->visited.count; number++) {
        Visited *one = (Visited *)(self->visited.data + number * self->visited.width);
        size_t bucket = bucket_of(self, one->event, one->state, (uint64_t *)(one + 1));
        one->before = buckets[bucket];
        buckets[bucket] = (uint32_t)number;
    }
}

/* Note a configuration; return 0 where one that had used no more of the calls that never came back was visited. */
static int is_new(Search *self, int32_t event, int32_t state, const uint64_t *sets)
{
    size_t bucket = bucket_of(self, event, state, sets), live = self->live_words;
    for (uint32_t number = self->buckets[bucket]; number != UINT32_MAX;) {
        const Visited *one = (Visited *)(self->visited.data + (size_t)number * self->visited.width);
        const uint64_t *theirs = (const uint64_t *)(one + 1);
        int covers = one->event == event && one->state == state && !memcmp(theirs, sets, live * sizeof *sets);
        for (size_t word = live; word < self->words && covers; word++)
            covers = !(theirs[word] & ~sets[word]);
        if (covers)
            return 0;
        number = one->before;
    }
    Visited *one = added(self, &self->visited);
    if (!one)
        return 0;
    *one = (Visited){self->buckets[bucket], event, state, 0};
    memcpy(one + 1, sets, self->words * sizeof *sets);
    self->buckets[bucket] = (uint32_t)(self->visited.count - 1);
    if (self->visited.count > self->bucket_count)
        grow_buckets(self);
    return 1;
}

static int comes_back(const Search *self, int32_t call) { return self->returns[call] != INT32_MAX; }

static void order_next(Search *self, int32_t call)
{
    int32_t *place = added(self, &self->order);
    if (place)
        *place = call;
}

static void order_read(Search *self, int32_t call, int32_t state, uint64_t *live)
{
    int32_t number = self->classes[call];
    if (self->reads[number] && comes_back(self, call) && !HAS(live, self->slots[call])
        && step(self, state, number) == state) {
        ADD(live, self->slots[call]);
        order_next(self, call);
    }
}

/* Put what only reads and fits into the order, up to the next end of a call that is not in it; return that event. */
static int32_t settle(Search *self, int32_t event, int32_t state, uint64_t *live, int at_end)
{
    for (int32_t at = 0; at_end && at < self->running_count[event]; at++)
        order_read(self, self->running[self->running_from[event] + at], state, live);
    for (; event < self->event_count && !self->failed; event++) {
        int32_t call = self->events[event];
        if (call >= 0)
            order_read(self, call, state, live);
        else if (HAS(live, self->slots[~call]))
            DROP(live, self->slots[~call]);
        else
            return event;
    }
    return self->event_count;
}

/* Return the call at this place among those to try at an event, and its slot in the sets. */
static int32_t call_at(const Search *self, int32_t event, int32_t at, size_t *slot)
{
    int32_t count = self->running_count[event];
    int32_t call = at < count ? self->running[self->running_from[event] + at] : self->crashed[at - count];
    *slot = (at < count ? 0 : 64 * self->live_words) + (size_t)self->slots[call];
    return call;
}

/* Return the next call that can follow, and the state after it; -1 where there is none left. */
static int32_t next_call(Search *self, Frame *frame, const uint64_t *sets, int32_t *after)
{
    int32_t total = self->running_count[frame->event] + self->crashed_before[frame->event];
    while (frame->next < total) {
        size_t slot, other_slot;
        int32_t at = frame->next++, call = call_at(self, frame->event, at, &slot), twin = 0;
        if (HAS(sets, slot))
            continue;
        for (int32_t before = 0; before < at && !twin; before++) {
            int32_t other = call_at(self, frame->event, before, &other_slot);
            twin = self->classes[other] == self->classes[call] && !HAS(sets, other_slot);
        }
        if (twin)
            continue;
        *after = step(self, frame->state, self->classes[call]);
        if (self->failed)
            return -1;
        if (*after != NO_STATE && (comes_back(self, call) || *after != frame->state))
            return call;
    }
    return -1;
}

/* Give each call a slot, and list for each end the calls that run then. */
static void lay_out(Search *self)
{
    int32_t calls = self->call_count, events = self->event_count, top = 0, free_count = 0, now_count = 0;
    size_t total = 0;
    self->returns = allocated(self, calls, 4);
    self->slots = allocated(self, calls, 4);
    self->crashed = allocated(self, calls, 4);
    self->crashed_before = allocated(self, events, 4);
    self->running_from = allocated(self, events, 4);
    self->running_count = allocated(self, events, 4);
    int32_t *unused = allocated(self, calls, 4), *now = allocated(self, calls, 4);
    for (int32_t call = 0; call < calls && !self->failed; call++)
        self->returns[call] = INT32_MAX;
    for (int32_t event = 0; event < events && !self->failed; event++)
        if (self->events[event] < 0)
            self->returns[~self->events[event]] = event;
    for (int32_t event = 0, runs = 0; event < events && !self->failed; event++) {
        runs += self->events[event] < 0 ? -1 : comes_back(self, self->events[event]);
        total += self->events[event] < 0 ? (size_t)runs + 1 : 0;
    }
    self->running = total < INT32_MAX ? allocated(self, total, 4) : NULL;
    self->failed |= !self->running;
    total = 0;
    for (int32_t event = 0; event < events && !self->failed; event++) {
        int32_t call = self->events[event], at = now_count;
        self->crashed_before[event] = self->crashed_count;
        if (call >= 0 && !comes_back(self, call)) {
            self->slots[call] = self->crashed_count;
            self->crashed[self->crashed_count++] = call;
        } else if (call >= 0) {
            self->slots[call] = free_count ? unused[--free_count] : top++;
            for (now_count++; at && self->returns[now[at - 1]] > self->returns[call]; at--)
                now[at] = now[at - 1];
            now[at] = call;
        } else { /* it ends first of all that run */
            self->running_from[event] = (int32_t)total;
            self->running_count[event] = now_count;
            memcpy(self->running + total, now, (size_t)now_count * 4);
            total += (size_t)now_count;
            unused[free_count++] = self->slots[~call];
            memmove(now, now + 1, (size_t)--now_count * 4);
        }
    }
    free(unused);
    free(now);
    self->live_words = (size_t)(top + 63) / 64;
    self->words = self->live_words + (size_t)(self->crashed_count + 63) / 64;
}

static void note_state(Search *self, int32_t state)
{
    PyObject *number = PySet_Size(self->states) < STATES_KEPT ? PyLong_FromLong(state) : NULL;
    if (number && PySet_Add(self->states, number) < 0)
        self->failed = 1;
    Py_XDECREF(number);
}

static int asked_to_stop(Search *self)
{
    PyObject *answer = PyObject_CallNoArgs(self->stop);
    int stops = answer ? PyObject_IsTrue(answer) : -1;
    Py_XDECREF(answer);
    if (stops < 0)
        self->failed = 1;
    return stops;
}

static void push(Search *self, int32_t event, int32_t state, const uint64_t *sets)
{
    Frame *frame = added(self, &self->frames);
    void *place = frame ? added(self, &self->sets) : NULL;
    if (place) {
        *frame = (Frame){event, state, 0, self->order.count};
        memcpy(place, sets, self->words * sizeof *sets);
    }
}

static int run(Search *self, int32_t initial, long long most, int32_t *reached, long long *count)
{
    uint64_t *sets = allocated(self, self->words, 8);
    int verdict = NO;
    int32_t event = self->failed ? 0 : settle(self, 0, initial, sets, 0);
    if (!self->failed && event < self->event_count) {
        is_new(self, event, initial, sets);
        push(self, event, initial, sets);
        note_state(self, initial);
        *reached = event;
        *count = 1;
    } else
        verdict = YES;
    while (self->frames.count && !self->failed) {
        Frame *frame = (Frame *)self->frames.data + self->frames.count - 1;
        const uint64_t *theirs = (uint64_t *)(self->sets.data + (self->frames.count - 1) * self->sets.width);
        int32_t after, call = (self->order.count = frame->ordered, next_call(self, frame, theirs, &after));
        if (call < 0) {
            self->frames.count--;
            self->sets.count--;
            continue;
        }
        memcpy(sets, theirs, self->words * sizeof *sets);
        ADD(sets + (comes_back(self, call) ? 0 : self->live_words), self->slots[call]);
        order_next(self, call);
        event = settle(self, frame->event, after, sets, 1);
        if (event >= self->event_count) {
            verdict = YES;
            break;
        }
        if (self->failed || !is_new(self, event, after, sets))
            continue;
        ++*count;
        if (event > *reached) {
            *reached = event;
            PySet_Clear(self->states);
        }
        if (event == *reached)
            note_state(self, after);
        if (*count > most || (*count % LOOK_EVERY == 0 && asked_to_stop(self))) {
            verdict = STOPPED;
            break;
        }
        push(self, event, after, sets);
    }
    free(sets);
    return self->failed ? FAILED : verdict;
}

static PyObject *order_list(const Search *self)
{
    PyObject *order = PyList_New((Py_ssize_t)self->order.count);
    for (size_t at = 0; order && at < self->order.count; at++)
        PyList_SetItem(order, (Py_ssize_t)at, PyLong_FromLong(((int32_t *)self->order.data)[at]));
    return order;
}

static PyObject *search(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    Py_buffer events, classes, reads;
    Search self = {.failed = 0};
    int initial;
    long long most, count = 0;
    if (!PyArg_ParseTuple(arguments, "y*y*y*OiLO", &events, &classes, &reads, &self.step, &initial, &most, &self.stop))
        return NULL;
    self.events = events.buf;
    self.classes = classes.buf;
    self.reads = reads.buf;
    self.event_count = (int32_t)(events.len / 4);
    self.call_count = (int32_t)(classes.len / 4);
    self.states = PySet_New(NULL);
    self.failed = !self.states;
    lay_out(&self);
    self.visited.width = sizeof(Visited) + 8 * self.words;
    self.sets.width = 8 * self.words + 8;
    self.frames.width = sizeof(Frame);
    self.order.width = 4;
    grow_steps(&self);
    grow_buckets(&self);
    int32_t reached = -1;
    int verdict = run(&self, initial, most, &reached, &count);
    int32_t stuck = reached < 0 ? -1 : ~self.events[reached];
    PyObject *result = NULL;
    if (verdict != FAILED) {
        PyObject *order = verdict == YES ? order_list(&self) : Py_NewRef(Py_None);
        result = order ? Py_BuildValue("iiiLON", verdict, reached, stuck, count, self.states, order) : NULL;
    } else if (!PyErr_Occurred())
        PyErr_NoMemory();
    void *owned[] = {self.returns, self.slots, self.crashed, self.crashed_before, self.running_from, self.running_count,
                     self.running, self.steps.data, self.visited.data, self.frames.data, self.sets.data,
                     self.order.data, self.buckets};
    for (size_t at = 0; at < sizeof owned / sizeof *owned; at++)
        free(owned[at]);
    Py_XDECREF(self.states);
    PyBuffer_Release(&events);
    PyBuffer_Release(&classes);
    PyBuffer_Release(&reads);
    return result;
}

static PyMethodDef methods[] = {
    {"search", search, METH_VARARGS, "The verdict, where the search got stuck, and how many configurations it visited."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot module_slots[] = {{0, NULL}};

static PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "lab.histories._search",
    .m_doc = "The search for an order of the calls, compiled.",
    .m_methods = methods,
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__search(void) { return PyModuleDef_Init(&module_definition); }
