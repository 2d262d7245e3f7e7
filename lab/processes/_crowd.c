/* Forking a crowd of workers in one go, and what each of them does in place of what its parent did for all:
 * lab/processes/crowd.py and lab/memory/mapped.py.
 *
 * After each fork the parent copies every page that it writes to, and each child keeps the old copy. A loop in Python
 * writes to about 110 pages a fork, this one to about 25. What a child is to do first is done here for the same reason. */

#define _GNU_SOURCE
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Do what lab.processes.child.live does before it runs the body; the stops have their default effect already. */
static void begin(pid_t parent, pid_t group, const sigset_t *stops)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
        _exit(1); /* the parent died before the signal was asked for */
    if (setpgid(0, group)) {
        static const char refused[] = "lab: setpgid was refused to a worker\n";
        ssize_t written = write(STDERR_FILENO, refused, sizeof refused - 1);
        (void)written;
        _exit(1);
    }
    PyOS_AfterFork_Child();
    sigprocmask(SIG_UNBLOCK, stops, NULL);
}

/* fork_many(pids, group, stops) -> (index, group, errno): fork as many as `pids` has room for. In a child the index is
 * its own. In the parent it is -1, and `pids`, a buffer of 32-bit numbers, holds those made: 0 from the first refused on,
 * for the reason that errno gives. Group 0 makes the first child the leader of a new one; it is returned. */
static PyObject *fork_many(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    Py_buffer made;
    int group;
    PyObject *listed;
    if (!PyArg_ParseTuple(arguments, "w*iO!", &made, &group, &PyTuple_Type, &listed))
        return NULL;
    sigset_t stops;
    sigemptyset(&stops);
    for (Py_ssize_t at = 0; at < PyTuple_Size(listed); at++)
        sigaddset(&stops, (int)PyLong_AsLong(PyTuple_GetItem(listed, at)));
    if (PyErr_Occurred()) {
        PyBuffer_Release(&made);
        return NULL;
    }
    int32_t *pids = made.buf;
    Py_ssize_t index = -1, count = made.len / (Py_ssize_t)sizeof *pids;
    pid_t parent = getpid();
    int refused = 0;
    PyOS_BeforeFork();
    for (Py_ssize_t at = 0; at < count && !refused; at++) {
        pid_t pid = fork();
        if (!pid) {
            begin(parent, group, &stops);
            index = at;
            break;
        }
        refused = pid < 0 ? errno : 0;
        if (refused)
            break;
        pids[at] = pid;
        setpgid(pid, group); /* both do it, so that neither needs the other's turn; one that has ended needs none */
        group = group ? group : pid;
    }
    if (index < 0)
        PyOS_AfterFork_Parent();
    PyBuffer_Release(&made);
    PyObject *result = Py_BuildValue("nii", index, group, refused);
    if (!result && index >= 0)
        _exit(1); /* an exception would rise into the caller's frames */
    return result;
}

/* Put a new open file, of the same inode and at least so long, in the place of one that this process inherited, and a
 * mapping of it in the place of memory. Return 0, else -1 with errno, and what was inherited may be gone: ESTALE where
 * the name leads to another file, ENODATA where it is shorter. */
static int renew(int directory, const char *name, int flags, int descriptor, void *place, size_t length, int sharing)
{
    struct stat before, now;
    int opened;
    do
        opened = openat(directory, name, flags);
    while (opened < 0 && errno == EINTR);
    if (opened < 0)
        return -1;
    int failed = fstat(descriptor, &before) || fstat(opened, &now) ? errno
                 : before.st_ino != now.st_ino                     ? ESTALE
                 : now.st_size < (off_t)length                    ? ENODATA
                 : dup3(opened, descriptor, flags & O_CLOEXEC) < 0 ? errno
                                                                   : 0;
    close(opened);
    errno = failed;
    return failed || mmap(place, length, PROT_READ | PROT_WRITE, sharing | MAP_FIXED, descriptor, 0) == MAP_FAILED ? -1 : 0;
}

/* open_again(directory, name, flags, descriptor, address, length, sharing): see `renew`. Raises OSError. */
static PyObject *open_again(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    int directory, flags, descriptor, sharing;
    const char *name;
    unsigned long long address;
    Py_ssize_t length;
    if (!PyArg_ParseTuple(arguments, "iyiiKni", &directory, &name, &flags, &descriptor, &address, &length, &sharing))
        return NULL;
    if (renew(directory, name, flags, descriptor, (void *)(uintptr_t)address, (size_t)length, sharing))
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"open_again", open_again, METH_VARARGS, "Open and map a file in the place of what was inherited."},
    {"fork_many", fork_many, METH_VARARGS, "Fork many children; return the index in a child, -1 in the parent."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot module_slots[] = {{0, NULL}};

static PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "lab.processes._crowd",
    .m_doc = "Forking a crowd of workers, compiled.",
    .m_methods = methods,
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__crowd(void) { return PyModuleDef_Init(&module_definition); }
