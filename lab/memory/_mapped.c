/* Opening a file in a child, in the place of what its parent opened and mapped before the fork: lab/memory/mapped.py. It
 * is built into the module of lab/processes/_crowd.c: a race needs both, and each library that it maps makes a fork slower. */

#define _GNU_SOURCE
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

PyObject *lab_open_again(PyObject *, PyObject *);

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
                 : before.st_ino != now.st_ino || before.st_dev != now.st_dev ? ESTALE
                 : now.st_size < (off_t)length ? ENODATA
                 : dup3(opened, descriptor, flags & O_CLOEXEC) < 0 ? errno : 0;
    close(opened);
    errno = failed;
    return failed || mmap(place, length, PROT_READ | PROT_WRITE, sharing | MAP_FIXED, descriptor, 0) == MAP_FAILED ? -1 : 0;
}

/* open_again(directory, name, flags, descriptor, address, length, sharing): see `renew`. Raises OSError. */
PyObject *lab_open_again(PyObject *Py_UNUSED(module), PyObject *arguments)
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
