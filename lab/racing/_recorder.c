/* The recorder of holds, compiled: it does what lab/racing/recorder.py does in Python, where the records are described.
 * Part of the module lab.locking._native. */

#include "../locking/_call.h"

enum { CURSOR, UNRECORDED, ROUNDS_DONE, HEADER = 8 };         /* words of a log */
enum { REQUESTED_NS, GRANTED_NS, RELEASED_NS, SPAN, RECORD }; /* words of a record */
enum { PRECISION_BITS = 7, LONGEST_BITS = 40, BUCKETS = (LONGEST_BITS - PRECISION_BITS + 1) << PRECISION_BITS };

/* The words as they are passed to Python: lab/racing/recorder.py refuses others than its own. */
static const Word LAYOUT[] = {
    {"CURSOR", CURSOR},         {"UNRECORDED", UNRECORDED},   {"ROUNDS_DONE", ROUNDS_DONE},
    {"HEADER", HEADER},         {"REQUESTED_NS", REQUESTED_NS}, {"GRANTED_NS", GRANTED_NS},
    {"RELEASED_NS", RELEASED_NS}, {"SPAN", SPAN},             {"RECORD", RECORD},
    {"BUCKETS", BUCKETS},       {"REFUSED", REFUSED},         {"DEADLOCKS", DEADLOCKS},
};

/* lab.analysis.statistics.bucket */
static uint64_t bucket(uint64_t time_ns)
{
    const uint64_t longest_ns = ((uint64_t)1 << LONGEST_BITS) - 1;
    unsigned shift = 0;
    if (time_ns > longest_ns)
        time_ns = longest_ns;
    while (time_ns >> shift >> (PRECISION_BITS + 1))
        shift++;
    return ((uint64_t)shift << PRECISION_BITS) + (time_ns >> shift);
}

typedef struct {
    PyObject_HEAD
    PyObject *acquire, *release;
    Py_buffer log, histogram; /* without obj where none was given */
    unsigned long long span;
    uint64_t slot; /* where the present hold is recorded; 0: it found the log full */
} Hold;

static PyTypeObject *hold_type;

static PyObject *hold_new(PyTypeObject *type, PyObject *arguments, PyObject *named)
{
    static char *names[] = {"acquire", "release", "log", "span", "histogram", NULL};
    const Py_ssize_t least = HEADER * sizeof(uint64_t), exactly = BUCKETS * sizeof(uint64_t);
    PyObject *acquire, *release;
    Hold *self = (Hold *)PyType_GenericAlloc(type, 0);
    if (!self)
        return NULL;
    if (PyArg_ParseTupleAndKeywords(arguments, named, "OOw*K|z*", names, &acquire, &release, &self->log, &self->span,
                                    &self->histogram)) {
        self->acquire = Py_NewRef(acquire);
        self->release = Py_NewRef(release);
        if (self->log.len < least)
            PyErr_Format(PyExc_ValueError, "a log has at least %d words", HEADER);
        else if (self->histogram.obj && (self->histogram.len != exactly || self->histogram.readonly))
            PyErr_Format(PyExc_ValueError, "a histogram has %d words, to be written to", BUCKETS);
        else
            return (PyObject *)self;
    }
    Py_DECREF((PyObject *)self);
    return NULL;
}

static void hold_dealloc(PyObject *object)
{
    PyObject *type = (PyObject *)Py_TYPE(object);
    Hold *self = (Hold *)object;
    PyBuffer_Release(&self->histogram);
    PyBuffer_Release(&self->log);
    Py_XDECREF(self->acquire);
    Py_XDECREF(self->release);
    PyObject_Free(self);
    Py_DECREF(type);
}

/* Replace the exception by that of lab.locking.protocol.typed: an OSError with errno EDEADLK is a Deadlock. */
static void name_deadlock(void)
{
    PyObject *kind, *error, *trace;
    PyErr_Fetch(&kind, &error, &trace);
    PyErr_NormalizeException(&kind, &error, &trace);
    PyObject *named = PyObject_CallFunctionObjArgs(lab_typed, error, NULL);
    if (named == error)
        PyErr_Restore(Py_NewRef(kind), Py_NewRef(error), Py_XNewRef(trace));
    else if (named)
        PyErr_SetObject((PyObject *)Py_TYPE(named), named);
    Py_XDECREF(named);
    Py_DECREF(kind);
    Py_DECREF(error);
    Py_XDECREF(trace);
}

/* Acquire, and record when; 0, or -1 with an exception. */
static inline int enter(Hold *self)
{
    uint64_t *log = self->log.buf, *histogram = self->histogram.buf, granted_ns;
    uint64_t words = (uint64_t)self->log.len / sizeof *log, slot = log[CURSOR];
    uint64_t *record = slot < words && words - slot >= RECORD ? log + slot : NULL;
    if (record) {
        record[SPAN] = self->span;
        record[GRANTED_NS] = 0;
    }
    uint64_t requested_ns = lab_now_ns();
    if (record)
        record[REQUESTED_NS] = requested_ns;
    if (lab_act(self->acquire, &granted_ns) < 0) {
        if (record)
            record[REQUESTED_NS] = 0;
        name_deadlock();
        return -1;
    }
    if (record) {
        record[GRANTED_NS] = granted_ns;
        log[CURSOR] = slot + RECORD;
    } else {
        log[UNRECORDED]++;
        if (histogram)
            histogram[bucket(granted_ns - requested_ns)]++;
    }
    self->slot = record ? slot : 0;
    return 0;
}

/* Record when, and release; 0, or -1 with an exception. */
static inline int leave(Hold *self)
{
    uint64_t ignored;
    if (self->slot)
        ((uint64_t *)self->log.buf)[self->slot + RELEASED_NS] = lab_now_ns();
    return lab_act(self->release, &ignored);
}

static PyObject *hold_enter(Hold *self, PyObject *Py_UNUSED(ignored))
{
    return enter(self) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *hold_exit(Hold *self, PyObject *const *Py_UNUSED(error), Py_ssize_t Py_UNUSED(count))
{
    return leave(self) < 0 ? NULL : Py_NewRef(Py_None);
}

/* The numbers of a worker's rounds, each written into its log as it begins: lab.racing.recorder.python_rounds. */
typedef struct {
    PyObject_HEAD
    Py_buffer log;
    unsigned long long next, end;
} Rounds;

static PyObject *rounds_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(named))
{
    Rounds *self = (Rounds *)PyType_GenericAlloc(type, 0);
    if (self && PyArg_ParseTuple(arguments, "w*K", &self->log, &self->end)) {
        if (self->log.len >= (Py_ssize_t)(HEADER * sizeof(uint64_t)))
            return (PyObject *)self;
        PyErr_Format(PyExc_ValueError, "a log has at least %d words", HEADER);
    }
    Py_XDECREF((PyObject *)self);
    return NULL;
}

static PyObject *rounds_next(Rounds *self)
{
    ((uint64_t *)self->log.buf)[ROUNDS_DONE] = self->next;
    return self->next < self->end ? PyLong_FromUnsignedLongLong(self->next++) : NULL;
}

static void rounds_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyBuffer_Release(&((Rounds *)object)->log);
    PyObject_Free(object);
    Py_DECREF((PyObject *)type);
}

static PyType_Slot rounds_slots[] = {
    {Py_tp_doc, "Rounds(log, rounds): the number of each round, written into the log as it begins."},
    {Py_tp_new, rounds_new},
    {Py_tp_dealloc, rounds_dealloc},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, rounds_next},
    {0, NULL},
};

static PyMethodDef hold_methods[] = {
    {"__enter__", (PyCFunction)hold_enter, METH_NOARGS, "Acquire, and record when."},
    {"__exit__", (PyCFunction)(void (*)(void))hold_exit, METH_FASTCALL, "Record when, and release."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot hold_slots[] = {
    {Py_tp_doc, "A lock over one byte range, entered and left with every interval written down."},
    {Py_tp_new, hold_new},
    {Py_tp_dealloc, hold_dealloc},
    {Py_tp_methods, hold_methods},
    {0, NULL},
};

static PyType_Spec hold_spec = {"lab.locking._native.Hold", sizeof(Hold), 0, Py_TPFLAGS_DEFAULT, hold_slots};
static PyType_Spec rounds_spec = {"lab.locking._native.Rounds", sizeof(Rounds), 0, Py_TPFLAGS_DEFAULT, rounds_slots};

static PyObject *module_bucket(PyObject *Py_UNUSED(module), PyObject *time_ns)
{
    unsigned long long value = PyLong_AsUnsignedLongLong(time_ns);
    return PyErr_Occurred() ? NULL : PyLong_FromUnsignedLongLong(bucket(value));
}

/* add_in_turn(holds, additions, stop, at, rounds=0): what the loops of lab.measuring.workers do, with an addition inside.
 *
 * Enter each hold in turn, add 1 to its 8 bytes, and leave it; where `at` is the index of one that is held, leave the
 * one before only then. Go on until the word `stop` is set, or for so many rounds. Signals are looked for now and then. */
enum { SIGNALS_EACH = 256 };

static int add_until(Hold **holds, volatile uint64_t **words, Py_ssize_t count, volatile uint64_t *stop, Py_ssize_t at,
                     uint64_t rounds)
{
    int rings = at >= 0;
    for (uint64_t pairs = 1;; pairs++) {
        Py_ssize_t then = at + 1 < count ? at + 1 : 0;
        if (enter(holds[then]) < 0)
            return -1;
        ++*words[then];
        if (leave(holds[rings ? at : then]) < 0)
            return -1;
        at = then;
        if (*stop || pairs == rounds)
            return rings ? leave(holds[at]) : 0;
        if (pairs % SIGNALS_EACH == 0 && PyErr_CheckSignals())
            return -1;
    }
}

static PyObject *module_add_in_turn(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *holds, *additions, *done = NULL;
    Py_buffer stop = {0};
    Py_ssize_t at, count;
    unsigned long long rounds = 0;
    if (!PyArg_ParseTuple(arguments, "O!O!w*n|K", &PyTuple_Type, &holds, &PyTuple_Type, &additions, &stop, &at,
                          &rounds))
        return NULL;
    count = PyTuple_Size(holds);
    Hold **each = PyMem_Calloc((size_t)count + 1, sizeof *each);
    Py_buffer *places = PyMem_Calloc((size_t)count + 1, sizeof *places);
    volatile uint64_t **words = PyMem_Calloc((size_t)count + 1, sizeof *words);
    int fits = each && places && words && count && PyTuple_Size(additions) == count && at >= -1 && at < count
               && stop.len >= (Py_ssize_t)sizeof **words;
    for (Py_ssize_t i = 0; fits && i < count; i++) {
        each[i] = (Hold *)PyTuple_GetItem(holds, i);
        fits = Py_IS_TYPE((PyObject *)each[i], hold_type)
               && !PyObject_GetBuffer(PyTuple_GetItem(additions, i), &places[i], PyBUF_WRITABLE)
               && places[i].len == sizeof **words;
        words[i] = places[i].buf;
    }
    if (!fits && !PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "as many holds as places of 8 bytes are needed, and one of them held, or -1");
    else if (fits && !add_until(each, words, count, stop.buf, at, rounds))
        done = Py_NewRef(Py_None);
    for (Py_ssize_t i = 0; places && i < count; i++)
        PyBuffer_Release(&places[i]);
    PyMem_Free(words);
    PyMem_Free(places);
    PyMem_Free(each);
    PyBuffer_Release(&stop);
    return done;
}

static PyMethodDef functions[] = {
    {"add_in_turn", module_add_in_turn, METH_VARARGS, "Lock, add and unlock until told to stop."},
    {"bucket", module_bucket, METH_O, "lab.analysis.statistics.bucket, as the recorder finds it."},
    {NULL, NULL, 0, NULL},
};

int lab_add_recorder(PyObject *module)
{
    hold_type = lab_add_type(module, &hold_spec);
    PyTypeObject *rounds_type = hold_type ? lab_add_type(module, &rounds_spec) : NULL;
    Py_XDECREF((PyObject *)rounds_type);
    return rounds_type && !lab_add_words(module, "LAYOUT", LAYOUT, sizeof LAYOUT / sizeof *LAYOUT)
                   && !PyModule_AddFunctions(module, functions)
               ? 0
               : -1;
}
