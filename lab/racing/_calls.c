/* The recorder of calls, compiled: it does what lab/racing/call_log.py does in Python, where the slots are described.
 * Part of the module lab.locking._native. */

#include "../locking/_native.h"

enum { BEGAN, ENDED, NUMBER, KIND, VALUE, SLOT };      /* words of a slot */
enum { NOTHING = 1, IS_FALSE, IS_TRUE, WHOLE, KEPT };  /* kinds of results */

/* The words as they are passed to Python: lab/racing/call_log.py refuses others than its own. */
static const Word SLOTS[] = {
    {"BEGAN", BEGAN},     {"ENDED", ENDED},       {"NUMBER", NUMBER},   {"KIND", KIND},   {"VALUE", VALUE},
    {"SLOT", SLOT},       {"NOTHING", NOTHING},   {"IS_FALSE", IS_FALSE}, {"IS_TRUE", IS_TRUE}, {"WHOLE", WHOLE},
    {"KEPT", KEPT},
};

typedef struct {
    PyObject_HEAD
    Py_buffer log;
    PyObject *raised, *keep;
} Stamps;

static PyObject *stamps_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(named))
{
    PyObject *raised, *keep;
    Stamps *self = (Stamps *)PyType_GenericAlloc(type, 0);
    if (self && PyArg_ParseTuple(arguments, "w*OO", &self->log, &raised, &keep)) {
        self->raised = Py_NewRef(raised);
        self->keep = Py_NewRef(keep);
        return (PyObject *)self;
    }
    Py_XDECREF((PyObject *)self);
    return NULL;
}

static void stamps_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    Stamps *self = (Stamps *)object;
    PyBuffer_Release(&self->log);
    Py_XDECREF(self->raised);
    Py_XDECREF(self->keep);
    PyObject_Free(self);
    Py_DECREF((PyObject *)type);
}

/* Return the result that stands for what an operation raised; NULL, with the exception, where it is none. */
static PyObject *result_of_error(Stamps *self)
{
    PyObject *kind, *error, *trace;
    PyErr_Fetch(&kind, &error, &trace);
    PyErr_NormalizeException(&kind, &error, &trace);
    if (trace)
        PyException_SetTraceback(error, trace);
    PyObject *text = PyObject_CallFunctionObjArgs(self->raised, error, NULL);
    if (text == Py_None) {
        Py_DECREF(text);
        PyErr_Restore(kind, error, trace);
        return NULL;
    }
    Py_DECREF(kind);
    Py_DECREF(error);
    Py_XDECREF(trace);
    return text;
}

/* Write the result where it fits a word; else Python keeps it. */
static int write_result(Stamps *self, uint64_t *slot, PyObject *round, PyObject *result)
{
    uint64_t kind = result == Py_None ? NOTHING : result == Py_True ? IS_TRUE : result == Py_False ? IS_FALSE : KEPT;
    if (kind == KEPT && PyLong_CheckExact(result)) {
        int overflow;
        long long value = PyLong_AsLongLongAndOverflow(result, &overflow);
        if (!overflow) {
            slot[VALUE] = (uint64_t)value;
            kind = WHOLE;
        }
    }
    if (kind != KEPT) {
        slot[KIND] = kind;
        return 0;
    }
    PyObject *kept = PyObject_CallFunctionObjArgs(self->keep, round, result, NULL);
    Py_XDECREF(kept);
    return kept ? 0 : -1;
}

static PyObject *stamps_record(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    Stamps *self = (Stamps *)object;
    if (count != 3)
        return PyErr_Format(PyExc_TypeError, "record takes a round, a number and what to call");
    size_t round = PyLong_AsSize_t(arguments[0]), slots = (size_t)self->log.len / (SLOT * sizeof(uint64_t));
    uint64_t number = PyLong_AsUnsignedLongLong(arguments[1]);
    if (PyErr_Occurred())
        return NULL;
    if (round >= slots)
        return PyErr_Format(PyExc_IndexError, "the log has %zu slots", slots);
    uint64_t *slot = (uint64_t *)self->log.buf + round * SLOT;
    slot[NUMBER] = number + 1;
    slot[BEGAN] = lab_now_ns();
    PyObject *result = PyObject_CallNoArgs(arguments[2]);
    uint64_t ended_ns = lab_now_ns();
    if (!result && !(result = result_of_error(self)))
        return NULL;
    slot[ENDED] = ended_ns;
    int written = write_result(self, slot, arguments[0], result);
    Py_DECREF(result);
    return written < 0 ? NULL : Py_NewRef(Py_None);
}

static PyMethodDef stamps_methods[] = {
    {"record", (PyCFunction)(void (*)(void))stamps_record, METH_FASTCALL, "Make a call, and record it."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot stamps_slots[] = {
    {Py_tp_doc, "Stamps(log, raised, keep): calls that are written down with their moments and results."},
    {Py_tp_new, stamps_new},
    {Py_tp_dealloc, stamps_dealloc},
    {Py_tp_methods, stamps_methods},
    {0, NULL},
};

static PyType_Spec stamps_spec = {"lab.locking._native.Stamps", sizeof(Stamps), 0, Py_TPFLAGS_DEFAULT, stamps_slots};

int lab_add_calls(PyObject *module)
{
    PyTypeObject *type = lab_add_type(module, &stamps_spec);
    Py_XDECREF((PyObject *)type);
    return type ? lab_add_words(module, "SLOTS", SLOTS, sizeof SLOTS / sizeof *SLOTS) : -1;
}
