// liburing, and the few calls of Linux beyond POSIX that Swift's Glibc module leaves out.
//
// The system's headers come first, and without GNU's extensions: modules that are imported together must
// agree on what these headers say, and liburing would ask for more.
#include <sys/types.h>
#include <fcntl.h>
#include <unistd.h>
#include <sys/syscall.h>
#include <liburing.h>

static const int linux_open_direct = __O_DIRECT;
// The same on all architectures, see linux/fs.h.
static const int linux_seek_data = 3;
static const int linux_seek_hole = 4;

static inline int linux_fallocate(int file, int mode, off_t offset, off_t length) {
    return (int)syscall(SYS_fallocate, file, mode, offset, length);
}

static inline int linux_syncfs(int file) {
    return (int)syscall(SYS_syncfs, file);
}
