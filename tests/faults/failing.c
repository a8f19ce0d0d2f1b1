/* For LD_PRELOAD: counts the calls that change files below a folder, lets one of them fail, or
 * kills the process before it. tests/faults/inject.py uses it.
 *
 * M3L_FAULT_FOLDER  absolute, without links; nothing happens without it
 * M3L_FAULT_LOG     file, outside of the folder, with a line for each call; see `record`
 * M3L_FAULT_COUNT   file of 8 bytes: the number of calls, of all processes together
 * M3L_FAULT_STASH   folder in the same file system: what renames and removals hide is kept here
 * M3L_FAULT_CALLS   kinds that are counted, for example "write sync", all without it
 * M3L_FAULT_AT      number of the call that fails, from 1; none without it
 * M3L_FAULT_ERROR   its errno, or 0: the process is killed before the call
 * M3L_FAULT_ON      if set, all later calls that need space fail as well, as on a full disk
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name)                                                                                 \
   static __typeof__(&name) real;                                                                  \
   if (!real)                                                                                      \
   real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static const char *folder, *logfile, *stash, *calls;
static long at, error;
static int on;
static _Atomic long *count;

/* Reads the variables; also called by a process that has forked, with others. */
__attribute__((constructor)) void m3l_fault_setup(void)
{
   folder = NULL;
   const char *counter = getenv("M3L_FAULT_COUNT"), *number = getenv("M3L_FAULT_AT");
   int fd = counter ? (int)syscall(SYS_openat, AT_FDCWD, counter, O_RDWR | O_CLOEXEC) : -1;
   if (fd < 0)
      return;
   void *shared = mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
   syscall(SYS_close, fd);
   if (shared == MAP_FAILED)
      return;
   count = shared;
   logfile = getenv("M3L_FAULT_LOG");
   stash = getenv("M3L_FAULT_STASH");
   calls = getenv("M3L_FAULT_CALLS");
   at = number ? atol(number) : 0;
   error = number ? atol(getenv("M3L_FAULT_ERROR")) : 0;
   on = getenv("M3L_FAULT_ON") != NULL;
   folder = getenv("M3L_FAULT_FOLDER");
}

static int is_below(const char *path)
{
   size_t length = strlen(folder);
   return strncmp(path, folder, length) == 0 && (path[length] == '/' || !path[length]);
}

/* The path of a descriptor; 1 if it is below the folder. */
static int where(int fd, char *path)
{
   char link[64];
   if (!folder || fd < 0)
      return 0;
   snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
   ssize_t length = readlink(link, path, PATH_MAX - 1);
   path[length < 0 ? 0 : length] = 0;
   return is_below(path);
}

/* The absolute path of a name; 1 if it is below the folder. */
static int place(int directory, const char *name, char *path)
{
   if (!folder || !name)
      return 0;
   if (name[0] == '/')
      snprintf(path, PATH_MAX, "%s", name);
   else {
      if (directory == AT_FDCWD ? !getcwd(path, PATH_MAX) : (where(directory, path), !path[0]))
         return 0;
      size_t length = strlen(path);
      snprintf(path + length, PATH_MAX - length, "/%s", name);
   }
   return is_below(path);
}

/* NUMBER KIND INODE PATH [OTHER], separated by tabs; inode 0 where there is none. */
static void record(long number, const char *kind, const struct stat *of, const char *path,
                   const char *other)
{
   char line[2 * PATH_MAX + 128];
   int fd = logfile ? (int)syscall(SYS_openat, AT_FDCWD, logfile,
                                   O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600)
                    : -1;
   if (fd < 0)
      return;
   int length = snprintf(line, sizeof line, "%ld\t%s\t%lu\t%s\t%s\n", number, kind,
                         of ? (unsigned long)of->st_ino : 0, path, other);
   syscall(SYS_write, fd, line, length);
   syscall(SYS_close, fd);
}

/* Count a call. 0: do it; else it shall fail, and errno is set. */
static int fails(const char *kind, int space, long *number)
{
   *number = 0;
   if (calls && !strstr(calls, kind))
      return 0;
   *number = atomic_fetch_add(count, 1) + 1;
   if (!at || *number < at || (*number > at && !(on && space)))
      return 0;
   record(*number, error ? "failed" : "killed", NULL, kind, "-");
   if (!error) {
      syscall(SYS_kill, getpid(), SIGKILL);
      for (;;)
         pause();
   }
   errno = (int)error;
   return 1;
}

/* A call on a descriptor that has no other effect than on the file. */
static int fails_at(const char *kind, int space, int fd, const char *path)
{
   int before = errno;
   long number;
   struct stat status;
   if (fails(kind, space, &number))
      return 1;
   record(number, kind, fstat(fd, &status) ? NULL : &status, path, "-");
   errno = before;
   return 0;
}

#define COUNT(kind, space, fd, failed)                                                             \
   char path[PATH_MAX];                                                                            \
   if (where(fd, path) && fails_at(kind, space, fd, path))                                         \
   return failed

ssize_t write(int fd, const void *data, size_t size)
{
   REAL(write);
   COUNT("write", 1, fd, -1);
   return real(fd, data, size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
   REAL(pwrite);
   COUNT("write", 1, fd, -1);
   return real(fd, data, size, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
   REAL(pwrite64);
   COUNT("write", 1, fd, -1);
   return real(fd, data, size, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int number)
{
   REAL(writev);
   COUNT("write", 1, fd, -1);
   return real(fd, parts, number);
}

ssize_t sendfile(int out, int in, off_t *offset, size_t size)
{
   REAL(sendfile);
   COUNT("write", 1, out, -1);
   return real(out, in, offset, size);
}

ssize_t sendfile64(int out, int in, off64_t *offset, size_t size)
{
   REAL(sendfile64);
   COUNT("write", 1, out, -1);
   return real(out, in, offset, size);
}

ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t size, unsigned flags)
{
   REAL(copy_file_range);
   COUNT("write", 1, out, -1);
   return real(in, from, out, to, size, flags);
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
   REAL(fallocate);
   COUNT("write", 1, fd, -1);
   return real(fd, mode, offset, size);
}

int ftruncate(int fd, off_t size)
{
   REAL(ftruncate);
   COUNT("write", 1, fd, -1);
   return real(fd, size);
}

int ftruncate64(int fd, off64_t size)
{
   REAL(ftruncate64);
   COUNT("write", 1, fd, -1);
   return real(fd, size);
}

int fsync(int fd)
{
   REAL(fsync);
   COUNT("sync", 0, fd, -1);
   return real(fd);
}

int fdatasync(int fd)
{
   REAL(fdatasync);
   COUNT("sync", 0, fd, -1);
   return real(fd);
}

int close(int fd)
{
   REAL(close);
   char path[PATH_MAX];
   if (where(fd, path) && (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY &&
       fails_at("close", 0, fd, path)) {
      int failed = errno;
      real(fd);
      errno = failed;
      return -1;
   }
   return real(fd);
}

/* The streams of C call the kernel from inside of the C library. They are not buffered here, so
 * that each call writes. */
#define COUNT_STREAM(kind, stream, failed) COUNT(kind, 1, fileno(stream), failed)

size_t fwrite(const void *data, size_t size, size_t number, FILE *stream)
{
   REAL(fwrite);
   COUNT_STREAM("write", stream, 0);
   return real(data, size, number, stream);
}

#undef fwrite_unlocked
size_t fwrite_unlocked(const void *data, size_t size, size_t number, FILE *stream)
{
   REAL(fwrite_unlocked);
   COUNT_STREAM("write", stream, 0);
   return real(data, size, number, stream);
}

int fputs(const char *text, FILE *stream)
{
   REAL(fputs);
   COUNT_STREAM("write", stream, EOF);
   return real(text, stream);
}

int fputc(int character, FILE *stream)
{
   REAL(fputc);
   COUNT_STREAM("write", stream, EOF);
   return real(character, stream);
}

int vfprintf(FILE *stream, const char *format, va_list arguments)
{
   REAL(vfprintf);
   COUNT_STREAM("write", stream, -1);
   return real(stream, format, arguments);
}

int fprintf(FILE *stream, const char *format, ...)
{
   va_list arguments;
   va_start(arguments, format);
   int done = vfprintf(stream, format, arguments);
   va_end(arguments);
   return done;
}

int __fprintf_chk(FILE *stream, int flag, const char *format, ...)
{
   (void)flag;
   va_list arguments;
   va_start(arguments, format);
   int done = vfprintf(stream, format, arguments);
   va_end(arguments);
   return done;
}

int fclose(FILE *stream)
{
   REAL(fclose);
   char path[PATH_MAX];
   int fd = fileno(stream);
   if (where(fd, path) && (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY &&
       fails_at("close", 0, fd, path)) {
      int failed = errno;
      real(stream);
      errno = failed;
      return EOF;
   }
   return real(stream);
}

/* Calls on names. What they hide gets a name in the stash, by its number. */

static void keep(long number, const char *path, char *kept)
{
   strcpy(kept, "-");
   if (stash) {
      snprintf(kept, PATH_MAX, "%s/%ld", stash, number);
      if (syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, kept, 0))
         strcpy(kept, "-");
   }
}

static int counted_open(int directory, const char *name, int flags, mode_t mode)
{
   char path[PATH_MAX];
   long number = 0;
   struct stat status;
   int changes = (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC);
   int counts = changes && place(directory, name, path);
   int is_new = counts && lstat(path, &status);
   if (counts && fails("open", 1, &number))
      return -1;
   int fd = (int)syscall(SYS_openat, directory, name, flags, mode);
   if (counts && fd >= 0) {
      const char *kind = is_new ? "create" : flags & O_TRUNC ? "truncate" : "open";
      record(number, kind, fstat(fd, &status) ? NULL : &status, path, "-");
   }
   return fd;
}

#define MODE(flags)                                                                                \
   mode_t mode = 0;                                                                                \
   if ((flags) & (O_CREAT | O_TMPFILE)) {                                                          \
      va_list arguments;                                                                           \
      va_start(arguments, flags);                                                                  \
      mode = va_arg(arguments, mode_t);                                                            \
      va_end(arguments);                                                                           \
   }

int open(const char *name, int flags, ...)
{
   MODE(flags)
   return counted_open(AT_FDCWD, name, flags, mode);
}

int open64(const char *name, int flags, ...)
{
   MODE(flags)
   return counted_open(AT_FDCWD, name, flags | O_LARGEFILE, mode);
}

int openat(int directory, const char *name, int flags, ...)
{
   MODE(flags)
   return counted_open(directory, name, flags, mode);
}

int openat64(int directory, const char *name, int flags, ...)
{
   MODE(flags)
   return counted_open(directory, name, flags | O_LARGEFILE, mode);
}

int __open_2(const char *name, int flags)
{
   return counted_open(AT_FDCWD, name, flags, 0);
}

int __open64_2(const char *name, int flags)
{
   return counted_open(AT_FDCWD, name, flags | O_LARGEFILE, 0);
}

int __openat_2(int directory, const char *name, int flags)
{
   return counted_open(directory, name, flags, 0);
}

int __openat64_2(int directory, const char *name, int flags)
{
   return counted_open(directory, name, flags | O_LARGEFILE, 0);
}

int creat(const char *name, mode_t mode)
{
   return counted_open(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int creat64(const char *name, mode_t mode)
{
   return counted_open(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC | O_LARGEFILE, mode);
}

static FILE *counted_fopen(const char *name, const char *mode,
                           FILE *(*real)(const char *, const char *))
{
   char path[PATH_MAX];
   long number;
   struct stat status;
   if (!strpbrk(mode, "wa+") || !place(AT_FDCWD, name, path))
      return real(name, mode);
   int is_new = lstat(path, &status);
   if (fails("open", 1, &number))
      return NULL;
   FILE *stream = real(name, mode);
   if (stream) {
      const char *kind = is_new ? "create" : mode[0] == 'w' ? "truncate" : "open";
      record(number, kind, fstat(fileno(stream), &status) ? NULL : &status, path, "-");
      setvbuf(stream, NULL, _IONBF, 0);
   }
   return stream;
}

FILE *fopen(const char *name, const char *mode)
{
   REAL(fopen);
   return counted_fopen(name, mode, real);
}

FILE *fopen64(const char *name, const char *mode)
{
   REAL(fopen64);
   return counted_fopen(name, mode, real);
}

static int counted_rename(int from, const char *old, int to, const char *new, unsigned flags)
{
   char before[PATH_MAX], after[PATH_MAX], kept[PATH_MAX], both[2 * PATH_MAX];
   long number = 0;
   struct stat status;
   int counts = place(from, old, before) | place(to, new, after);
   if (counts) {
      if (fails("rename", 0, &number))
         return -1;
      keep(number, after, kept);
   }
   int done = (int)syscall(SYS_renameat2, from, old, to, new, flags);
   if (counts && !done) {
      snprintf(both, sizeof both, "%s\t%s", after, kept);
      record(number, "rename", lstat(after, &status) ? NULL : &status, before, both);
   }
   return done;
}

int rename(const char *old, const char *new)
{
   return counted_rename(AT_FDCWD, old, AT_FDCWD, new, 0);
}

int renameat(int from, const char *old, int to, const char *new)
{
   return counted_rename(from, old, to, new, 0);
}

int renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
   return counted_rename(from, old, to, new, flags);
}

static int counted_unlink(int directory, const char *name, int flags)
{
   char path[PATH_MAX], kept[PATH_MAX];
   long number = 0;
   struct stat status;
   const char *kind = flags & AT_REMOVEDIR ? "rmdir" : "unlink";
   int counts = place(directory, name, path) && !lstat(path, &status);
   if (counts) {
      if (fails("unlink", 0, &number))
         return -1;
      keep(number, path, kept);
   }
   int done = (int)syscall(SYS_unlinkat, directory, name, flags);
   if (counts && !done)
      record(number, kind, &status, path, kept);
   return done;
}

int unlink(const char *name)
{
   return counted_unlink(AT_FDCWD, name, 0);
}

int unlinkat(int directory, const char *name, int flags)
{
   return counted_unlink(directory, name, flags);
}

int rmdir(const char *name)
{
   return counted_unlink(AT_FDCWD, name, AT_REMOVEDIR);
}

int remove(const char *name)
{
   struct stat status;
   int is_folder = !lstat(name, &status) && S_ISDIR(status.st_mode);
   return counted_unlink(AT_FDCWD, name, is_folder ? AT_REMOVEDIR : 0);
}

int truncate(const char *name, off_t size)
{
   int fd = counted_open(AT_FDCWD, name, O_WRONLY, 0);
   int done = fd < 0 ? -1 : ftruncate(fd, size);
   if (fd >= 0)
      syscall(SYS_close, fd);
   return done;
}

int truncate64(const char *name, off64_t size)
{
   return truncate(name, size);
}

int mkdirat(int directory, const char *name, mode_t mode)
{
   char path[PATH_MAX];
   long number = 0;
   struct stat status;
   int counts = place(directory, name, path) && lstat(path, &status);
   if (counts && fails("mkdir", 1, &number))
      return -1;
   int done = (int)syscall(SYS_mkdirat, directory, name, mode);
   if (counts && !done)
      record(number, "mkdir", lstat(path, &status) ? NULL : &status, path, "-");
   return done;
}

int mkdir(const char *name, mode_t mode)
{
   return mkdirat(AT_FDCWD, name, mode);
}

int linkat(int from, const char *old, int to, const char *new, int flags)
{
   char path[PATH_MAX];
   long number = 0;
   struct stat status;
   int counts = place(to, new, path);
   if (counts && fails("link", 1, &number))
      return -1;
   int done = (int)syscall(SYS_linkat, from, old, to, new, flags);
   if (counts && !done)
      record(number, "link", lstat(path, &status) ? NULL : &status, path, "-");
   return done;
}

int link(const char *old, const char *new)
{
   return linkat(AT_FDCWD, old, AT_FDCWD, new, 0);
}

int symlinkat(const char *target, int directory, const char *name)
{
   char path[PATH_MAX];
   long number = 0;
   struct stat status;
   int counts = place(directory, name, path);
   if (counts && fails("link", 1, &number))
      return -1;
   int done = (int)syscall(SYS_symlinkat, target, directory, name);
   if (counts && !done)
      record(number, "link", lstat(path, &status) ? NULL : &status, path, "-");
   return done;
}

int symlink(const char *target, const char *name)
{
   return symlinkat(target, AT_FDCWD, name);
}
