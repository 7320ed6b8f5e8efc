/* The lock of the index, its seal, and the transactions between taking the one and writing the
 * other.
 *
 * db.lock carries a seal: which berth.db it is, of which boot, how large and when it was written,
 * and the times of the directories that it tells of. Readers, too, look at it, under a shared lock:
 *
 *   writer   lock, look, records and rows change, seal WRITING, commit, directories' times,
 *            seal WHOLE, unlock
 *   killed   before WRITING the directories' times differ (they are the kernel's, not ours): the
 *            index is reconciled; from then on it is made again, for its pages may be of two minds
 *   reader   shared lock, look; where the seal does not fit, the index is first put right as a
 *            writer would; who may not write, or has no space to, makes one in memory
 *
 * Nothing is ever flushed: after a power cut the boot is another one, and the index is made again.
 * No cycle of locks: nobody waits for anything while holding this one, and a process that reads
 * lets go before it writes. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <time.h>

#include "base/str.h"
#include "image/store-internal.h"

static const char magic[] = "berth 4"; /* a number for each schema */

enum { STATE_WHOLE = 1, STATE_WRITING, STATE_DAMAGED };
enum { ALL_TRACKED = (1u << SUB_TRACKED) - 1 };

static int64_t mtime_of(const struct stat *st)
{
        return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

/* ---- the lock ---- */

static int take(struct store *s, int how, struct err *e)
{
        while (flock(s->lock, how) < 0)
                if (errno != EINTR)
                        return err_sys(e, errno, "cannot lock the store \"%s\"", s->path);
        return 0;
}

static void let_go(struct store *s)
{
        if (s->lock >= 0)
                flock(s->lock, LOCK_UN);
        s->locked = false;
}

/* ---- the seal ---- */

/* Where there is no procfs, all boots are one. */
static const char *boot_of(struct store *s)
{
        if (!*s->boot && fd_read_text_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", s->boot,
                                         sizeof s->boot) <= 0)
                snprintf(s->boot, sizeof s->boot, "unknown");
        return s->boot;
}

static bool directories_fit(struct store *s)
{
        struct stat st;

        for (int i = 0; i < SUB_TRACKED; i++)
                if (fstatat(s->dir, store_sub_names[i], &st, AT_SYMLINK_NOFOLLOW) < 0 ||
                    s->seal.times[i] != mtime_of(&st))
                        return false;
        return true;
}

static enum verdict look(struct store *s)
{
        struct seal *l = &s->seal;
        struct stat st;

        if (s->lock < 0 || pread(s->lock, l, sizeof *l, 0) != sizeof *l ||
            strncmp(l->magic, magic, sizeof l->magic) != 0 ||
            strncmp(l->boot, boot_of(s), sizeof l->boot) != 0 || l->state == STATE_WRITING ||
            fstatat(s->dir, "berth.db", &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_dev != l->device)
                return SEAL_VOID;
        if (l->state != STATE_WHOLE || st.st_ino != l->inode || (uint64_t)st.st_size != l->size ||
            mtime_of(&st) != l->written)
                return SEAL_BROKEN;
        return directories_fit(s) ? SEAL_FITS : SEAL_BEHIND;
}

int store_verdict(struct store *s, enum verdict *ret, struct err *e)
{
        if (s->lock >= 0 && take(s, LOCK_SH, e) < 0)
                return -1;
        *ret = look(s);
        let_go(s);
        return 0;
}

static int seal_write(struct store *s, uint32_t state, struct err *e)
{
        const struct seal *l = &s->seal;
        ssize_t n;

        snprintf(s->seal.magic, sizeof s->seal.magic, "%s", magic);
        snprintf(s->seal.boot, sizeof s->seal.boot, "%s", boot_of(s));
        s->seal.state = state;
        n = pwrite(s->lock, l, sizeof *l, 0);
        if (n != sizeof *l)
                return err_sys(e, n < 0 ? errno : ENOSPC, "cannot write \"%s/db.lock\"", s->path);
        return 0;
}

void seal_break(struct store *s)
{
        if (s->writable && s->inode && (s->locked || s->reading))
                seal_write(s, STATE_DAMAGED, NULL);
}

/* berth.db is what SQLite left of it. */
static int seal_whole(struct store *s, struct err *e)
{
        struct stat st;

        if (fstatat(s->dir, "berth.db", &st, AT_SYMLINK_NOFOLLOW) < 0)
                return err_sys(e, errno, "cannot find \"%s/berth.db\"", s->path);
        s->seal.device = st.st_dev;
        s->seal.inode = st.st_ino;
        s->seal.size = (uint64_t)st.st_size;
        s->seal.written = mtime_of(&st);
        return seal_write(s, STATE_WHOLE, e);
}

/* ---- the directories' times ---- */

/* A moment of our choice, finer than the kernel's own, so that a change which never got to the
 * index can't be taken for one that did (S1). Where a file system keeps times less exactly (ext4
 * with small inodes: seconds), a later change could have the same one: there it is yesterday's,
 * which the kernel will never give again. */
static int set_time(struct store *s, int sub, struct err *e)
{
        const char *name = store_sub_names[sub];
        struct timespec both[2] = { { .tv_nsec = UTIME_OMIT } };
        struct stat st;

        clock_gettime(CLOCK_REALTIME, &both[1]);
        for (int tries = 0; tries < 2; tries++) {
                if (utimensat(s->dir, name, both, AT_SYMLINK_NOFOLLOW) < 0 ||
                    fstatat(s->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        return err_sys(e, errno, "cannot set the time of \"%s/%s\"", s->path, name);
                s->seal.times[sub] = mtime_of(&st);
                if (st.st_mtim.tv_nsec == both[1].tv_nsec)
                        break;
                both[1] = (struct timespec){ .tv_sec = both[1].tv_sec - 86400 };
        }
        return 0;
}

static int set_times(struct store *s, unsigned changed, struct err *e)
{
        for (int i = 0; i < SUB_TRACKED; i++)
                if (changed & 1u << i && set_time(s, i, e) < 0)
                        return -1;
        return 0;
}

/* ---- changing it ---- */

static void roll_back(struct store *s)
{
        if (s->db && !sqlite3_get_autocommit(s->db))
                db_run(s, Q_ROLLBACK, NULL, NULL);
}

/* SQLite took it back from memory. Whether all of that got to the file (the disk was full, say) is
 * seen by reading it anew. */
static void commit_failed(struct store *s)
{
        AUTO_ARENA a = { 0 };
        uint64_t inode = s->inode;
        const char *why;

        roll_back(s);
        db_close(s);
        if (db_attach(s, inode) == SQLITE_OK && db_sound(s, &a, &why))
                seal_whole(s, NULL);
}

static int commit(struct store *s, unsigned changed, struct err *e)
{
        if (seal_write(s, STATE_WRITING, e) < 0)
                return -1;
        if (db_run(s, Q_COMMIT, e, NULL) < 0) {
                commit_failed(s);
                return -1;
        }
        return set_times(s, changed, e) < 0 ? -1 : seal_whole(s, e);
}

static int create(struct store *s, bool aside, struct err *e)
{
        s->seal = (struct seal){ 0 };
        return seal_write(s, STATE_WRITING, e) < 0 ? -1 : db_create(s, aside, e);
}

/* Under the lock: an index that agrees with the disk, open. */
static int put_right(struct store *s, enum verdict v, struct err *e)
{
        int r = v <= SEAL_BEHIND ? db_attach(s, s->seal.inode) : SQLITE_OK;

        if (db_damaged(r))
                v = SEAL_BROKEN;
        else if (r != SQLITE_OK)
                return db_error(s, r, "open", e);
        if (v == SEAL_FITS)
                return 0;
        log_debug(s->log, "the index is brought up to date with what is on disk");
        if (v >= SEAL_VOID && create(s, v == SEAL_BROKEN, e) < 0)
                return -1;
        return db_run(s, Q_BEGIN, e, NULL) < 0 || store_reconcile(s, NULL, e) < 0
                       ? -1
                       : commit(s, ALL_TRACKED, e);
}

static int begin(struct store *s, bool remake, struct err *e)
{
        assert(!s->reading);
        if (!s->writable)
                return err_set(e, ERR_DENIED, "the store \"%s\" cannot be written", s->path);
        if (take(s, LOCK_EX, e) < 0)
                return -1;
        s->locked = true;
        if (put_right(s, remake ? SEAL_BROKEN : look(s), e) == 0 &&
            db_run(s, Q_BEGIN, e, NULL) == 0)
                return 0;
        store_abort(s);
        return -1;
}

int store_begin(struct store *s, struct err *e)
{
        return begin(s, false, e);
}

int store_remake(struct store *s, struct err *e)
{
        if (begin(s, true, e) < 0)
                return -1;
        store_abort(s);
        return 0;
}

int store_commit(struct store *s, unsigned changed, struct err *e)
{
        int r = commit(s, changed, e);

        if (r < 0)
                roll_back(s);
        let_go(s);
        return r;
}

void store_abort(struct store *s)
{
        roll_back(s);
        let_go(s);
}

/* ---- reading it ---- */

/* What the disk tells, for those who can't write it down. */
static int in_memory(struct store *s, struct err *e)
{
        int64_t times[SUB_TRACKED] = { 0 };
        struct stat st;

        for (int i = 0; i < SUB_TRACKED; i++)
                if (fstatat(s->dir, store_sub_names[i], &st, AT_SYMLINK_NOFOLLOW) == 0)
                        times[i] = mtime_of(&st);
        if (s->db && !s->inode && memcmp(times, s->times, sizeof times) == 0)
                return 0;
        if (db_memory(s, e) < 0 || db_run(s, Q_BEGIN, e, NULL) < 0 ||
            store_reconcile(s, NULL, e) < 0 || db_run(s, Q_COMMIT, e, NULL) < 0) {
                db_close(s);
                return -1;
        }
        memcpy(s->times, times, sizeof times);
        return 0;
}

/* The shared lock, and an index that fits. It is put right by a transaction in between, so that
 * somebody else may have changed it again: a few times at the most. */
static int read_begin(struct store *s, struct err *e)
{
        struct err why = { 0 };
        int r;

        for (int tries = 0; s->lock >= 0 && tries < 8; tries++) {
                if (take(s, LOCK_SH, e) < 0)
                        return -1;
                if (look(s) == SEAL_FITS && db_attach(s, s->seal.inode) == SQLITE_OK)
                        return 0;
                if (!s->writable)
                        break;
                let_go(s);
                if (store_begin(s, &why) < 0) {
                        log_debug(s->log, "the index could not be brought up to date: %s",
                                  why.chain);
                        break;
                }
                store_abort(s);
        }
        if (s->lock >= 0 && take(s, LOCK_SH, e) < 0)
                return -1;
        s->reading = 1; /* for the statements that make it */
        r = in_memory(s, e);
        s->reading = 0;
        if (r < 0)
                let_go(s);
        return r;
}

int store_hold(struct store *s, struct err *e)
{
        if (s->locked)
                return 0;
        if (!s->reading && read_begin(s, e) < 0)
                return -1;
        s->reading++;
        return 0;
}

void store_release(struct store *s)
{
        if (s->reading > 0 && --s->reading == 0)
                let_go(s);
}
