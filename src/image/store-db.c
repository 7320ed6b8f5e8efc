/* The index: opening it, its statements, its schema.
 *
 * SQLite neither locks nor journals here. One flock serves both readers and writers (S4), who
 * therefore sleep instead of polling; a change is rolled back from memory; and a writer who is
 * killed leaves the seal broken (store-lock.c), upon which the index is made again (S1). No file is
 * mapped: writing to a hole of a mapped one is death by SIGBUS where the disk is full. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#include "base/str.h"
#include "image/store-internal.h"

/* "brth" */
#define APPLICATION_ID 0x62727468

/* Whoever changes it changes the seal's magic. A container pins its image's layers in `uses`,
 * and as container:ID those of other images that it mounts. */
static const char schema[] =
        "BEGIN;"
        "CREATE TABLE images(digest TEXT PRIMARY KEY, id TEXT NOT NULL, media_type TEXT,"
        " index_digest TEXT, artifact_type TEXT, os TEXT, architecture TEXT, variant TEXT,"
        " os_version TEXT, size INTEGER, created INTEGER, added INTEGER, layers TEXT,"
        " diff_ids TEXT, names TEXT, labels TEXT) WITHOUT ROWID;"
        "CREATE INDEX images_id ON images(id);"
        "CREATE TABLE uses(image TEXT, object TEXT, PRIMARY KEY(image, object)) WITHOUT ROWID;"
        "CREATE INDEX uses_object ON uses(object);"
        "CREATE TABLE refs(name TEXT PRIMARY KEY, digest TEXT NOT NULL) WITHOUT ROWID;"
        "CREATE INDEX refs_digest ON refs(digest);"
        "CREATE TABLE layers(key TEXT PRIMARY KEY, diff_id TEXT NOT NULL, backend INTEGER,"
        " size INTEGER, disk INTEGER, entries INTEGER, leans INTEGER) WITHOUT ROWID;"
        "CREATE TABLE containers(id TEXT PRIMARY KEY, name TEXT UNIQUE NOT NULL, created INTEGER,"
        " image TEXT, json TEXT NOT NULL);" /* whose rows are larger than an index page takes */
        "CREATE INDEX containers_image ON containers(image);"
        "COMMIT";

#define IMAGE_COLUMNS                                                                              \
        "i.digest, i.id, i.media_type, i.index_digest, i.artifact_type, i.os, i.architecture,"     \
        " i.variant, i.os_version, i.size, i.created, i.added, i.layers, i.diff_ids, i.names,"     \
        " i.labels, (SELECT group_concat(name, ' ') FROM (SELECT name FROM refs"                   \
        " WHERE refs.digest = i.digest ORDER BY name)),"                                           \
        " (SELECT count(*) FROM containers c WHERE c.image = i.digest)"

static const char *const queries[] = {
        [Q_BEGIN] = "BEGIN IMMEDIATE",
        [Q_COMMIT] = "COMMIT",
        [Q_ROLLBACK] = "ROLLBACK",
        [Q_IMAGE_ADD] = "INSERT OR REPLACE INTO images"
                        " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [Q_IMAGE_DEL] = "DELETE FROM images WHERE digest = ?",
        [Q_IMAGES] = "SELECT " IMAGE_COLUMNS " FROM images i"
                     " ORDER BY i.created DESC, i.added DESC, i.digest",
        [Q_IMAGE_BY_DIGEST] = "SELECT " IMAGE_COLUMNS " FROM images i WHERE i.digest = ?",
        [Q_IMAGE_BY_NAME] = "SELECT " IMAGE_COLUMNS " FROM images i"
                            " WHERE i.digest = (SELECT digest FROM refs WHERE name = ?)",
        [Q_IMAGE_BY_SUFFIX] =
                "SELECT " IMAGE_COLUMNS ", r.name FROM refs r JOIN images i ON i.digest = r.digest"
                " WHERE substr(r.name, -length(?1)) = ?1 ORDER BY r.name",
        [Q_IMAGE_BY_ID] = "SELECT " IMAGE_COLUMNS " FROM images i"
                          " WHERE i.id >= ?1 AND i.id < ?1 || 'g' OR i.digest >= ?1 AND"
                          " i.digest < ?1 || 'g' OR i.index_digest = ?1 ORDER BY i.id, i.added",
        [Q_IMAGE_BY_REPO_DIGEST] = "SELECT " IMAGE_COLUMNS " FROM images i"
                                   " WHERE instr(' ' || i.names || ' ', ' ' || ? || ' ')",
        [Q_IMAGE_DIGESTS] = "SELECT digest, added FROM images",
        [Q_USES_ADD] = "INSERT OR IGNORE INTO uses VALUES(?, ?)",
        [Q_USES_DEL] = "DELETE FROM uses WHERE image = ?",
        [Q_USES_STALE] = "SELECT DISTINCT image FROM uses WHERE"
                         " image NOT IN (SELECT digest FROM images) AND"
                         " image NOT IN (SELECT image FROM containers) AND"
                         " image NOT IN (SELECT 'container:' || id FROM containers)",
        [Q_USED] = "SELECT 1 FROM uses WHERE object = ? LIMIT 1",
        [Q_USERS] = "SELECT image FROM uses WHERE object = ?",
        [Q_REF_SET] = "INSERT INTO refs VALUES(?, ?)"
                      " ON CONFLICT(name) DO UPDATE SET digest = excluded.digest",
        [Q_REF_DEL] = "DELETE FROM refs WHERE name = ?",
        [Q_REF_DEL_IMAGE] = "DELETE FROM refs WHERE digest = ?",
        [Q_REF_OF] = "SELECT name FROM refs WHERE digest = ?",
        [Q_REF_GET] = "SELECT digest FROM refs WHERE name = ?",
        [Q_REFS] = "SELECT name, digest FROM refs",
        [Q_LAYER_ADD] = "INSERT OR REPLACE INTO layers VALUES(?, ?, ?, ?, ?, ?, ?)",
        [Q_LAYER_DEL] = "DELETE FROM layers WHERE key = ?",
        [Q_LAYER_GET] = "SELECT * FROM layers WHERE key = ?",
        [Q_LAYERS] = "SELECT * FROM layers ORDER BY key",
        [Q_LAYERS_UNUSED] = "SELECT key, disk FROM layers"
                            " WHERE key NOT IN (SELECT object FROM uses)",
        [Q_CTR_ADD] = "INSERT INTO containers VALUES(?1, ?2, ?3, ?4, ?5) ON CONFLICT(id) DO UPDATE"
                      " SET name = ?2, created = ?3, image = ?4, json = ?5",
        [Q_CTR_DEL] = "DELETE FROM containers WHERE id = ?",
        [Q_CTR_GET] = "SELECT id FROM containers WHERE name = ?",
        [Q_CTR_FIND] = "SELECT name, json, id FROM containers WHERE name = ?1 OR"
                       " id >= ?1 AND id < ?1 || 'g' ORDER BY name = ?1 DESC, id = ?1 DESC, id",
        [Q_CTRS] = "SELECT json, created FROM containers",
        [Q_CTR_IDS] = "SELECT id FROM containers",
        [Q_CTR_USING] = "SELECT 1 FROM containers WHERE image = ? LIMIT 1",
};
static_assert(ARRAY_SIZE(queries) == Q_MAX, "each statement has its text");
static_assert(Q_MAX <= ARRAY_SIZE(((struct store *)0)->cached), "each statement has its place");

int db_error(struct store *s, int code, const char *what, struct err *e)
{
        int sys = s->db ? sqlite3_system_errno(s->db) : 0;

        if (db_damaged(code))
                seal_break(s);
        switch (code & 0xff) {
        case SQLITE_FULL:
                return err_sys(e, ENOSPC, "cannot %s the index \"%s/berth.db\"", what, s->path);
        case SQLITE_READONLY:
        case SQLITE_PERM:
                return err_set(e, ERR_DENIED, "cannot %s the index \"%s/berth.db\": %s", what,
                               s->path, sqlite3_errstr(code));
        case SQLITE_CANTOPEN:
        case SQLITE_IOERR:
                if (sys)
                        return err_sys(e, sys, "cannot %s the index \"%s/berth.db\"", what,
                                       s->path);
                break;
        default:
                break;
        }
        err_set(e, ERR_INTERNAL, "cannot %s the index \"%s/berth.db\": %s", what, s->path,
                s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(code));
        return err_hint(e, db_damaged(code)
                                   ? "The next command makes it again from what is on disk."
                                   : "`berth system check --repair` makes it again.");
}

static int prepare(struct store *s, enum query q, struct err *e)
{
        int r;

        if (s->cached[q])
                return 0;
        r = sqlite3_prepare_v3(s->db, queries[q], -1, SQLITE_PREPARE_PERSISTENT, &s->cached[q],
                               NULL);
        return r == SQLITE_OK ? 0 : db_error(s, r, "use", e);
}

static int bind(struct store *s, enum query q, struct rows *ret, struct err *e, const char *types,
                va_list ap)
{
        bool reading = !s->locked;

        if (reading && store_hold(s, e) < 0)
                return -1;
        if (prepare(s, q, e) < 0) {
                if (reading)
                        store_release(s);
                return -1;
        }
        *ret = (struct rows){ s, s->cached[q], e, reading };
        for (int i = 1; types && *types; types++, i++) {
                if (*types == 's')
                        sqlite3_bind_text(ret->st, i, va_arg(ap, const char *), -1,
                                          SQLITE_TRANSIENT);
                else
                        sqlite3_bind_int64(ret->st, i, va_arg(ap, int64_t));
        }
        return 0;
}

int db_query(struct store *s, enum query q, struct rows *ret, struct err *e, const char *types, ...)
{
        va_list ap;
        int r;

        va_start(ap, types);
        r = bind(s, q, ret, e, types, ap);
        va_end(ap);
        return r;
}

int db_next(struct rows *r)
{
        int code = sqlite3_step(r->st);

        if (code == SQLITE_ROW)
                return 1;
        return code == SQLITE_DONE ? 0 : db_error(r->store, code, "read or write", r->e);
}

void db_end(struct rows *r)
{
        if (!r->st)
                return;
        sqlite3_reset(r->st);
        sqlite3_clear_bindings(r->st);
        r->st = NULL;
        if (r->reading)
                store_release(r->store);
}

int db_run(struct store *s, enum query q, struct err *e, const char *types, ...)
{
        AUTO_ROWS rows = { 0 };
        va_list ap;
        int r;

        va_start(ap, types);
        r = bind(s, q, &rows, e, types, ap);
        va_end(ap);
        return r < 0 ? -1 : db_next(&rows);
}

const char *db_text(struct rows *r, int column)
{
        const char *text = (const char *)sqlite3_column_text(r->st, column);

        return text ? text : "";
}

const char *db_str(struct rows *r, struct arena *a, int column)
{
        if (sqlite3_column_type(r->st, column) == SQLITE_NULL)
                return NULL;
        return arena_strdup(a, db_text(r, column));
}

int64_t db_int(struct rows *r, int column)
{
        return sqlite3_column_int64(r->st, column);
}

bool db_sound(struct store *s, struct arena *a, const char **ret_why)
{
        sqlite3_stmt *st = NULL;
        int r = sqlite3_prepare_v2(s->db, "PRAGMA integrity_check(1)", -1, &st, NULL);
        const char *said;

        if (r == SQLITE_OK)
                r = sqlite3_step(st);
        said = r == SQLITE_ROW ? (const char *)sqlite3_column_text(st, 0) : sqlite3_errstr(r);
        said = said ? arena_strdup(a, said) : "";
        sqlite3_finalize(st);
        *ret_why = said;
        return str_eq(said, "ok");
}

/* ---- opening ---- */

bool db_damaged(int code)
{
        return (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB;
}

void db_close(struct store *s)
{
        for (size_t i = 0; i < Q_MAX; i++) {
                sqlite3_finalize(s->cached[i]);
                s->cached[i] = NULL;
        }
        sqlite3_close(s->db);
        s->db = NULL;
        s->inode = 0;
}

/* No program here uses SQLite in two threads, and none asks how much memory it has. Refused, and no
 * harm, once SQLite is in use. */
static void configure(void)
{
        static bool done;

        if (done)
                return;
        done = true;
        sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
        sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

/* Nothing of a change may get to the file before its commit: the cache is not spilled. */
static int connect_to(struct store *s, const char *path, int flags)
{
        int r;

        configure();
        r = sqlite3_open_v2(path, &s->db, flags | SQLITE_OPEN_NOMUTEX, "unix-none");
        if (r != SQLITE_OK)
                return r;
        sqlite3_extended_result_codes(s->db, 1);
        return sqlite3_exec(s->db,
                            "PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF;"
                            "PRAGMA temp_store=MEMORY; PRAGMA cache_spill=OFF",
                            NULL, NULL, NULL);
}

int db_attach(struct store *s, uint64_t inode)
{
        AUTO_FREE char *path = NULL;
        int r;

        if (s->db && s->inode == inode)
                return SQLITE_OK;
        db_close(s);
        path = mem_printf("%s/berth.db", s->path);
        r = connect_to(s, path, s->writable ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY);
        if (r == SQLITE_OK)
                s->inode = inode;
        else
                db_close(s);
        return r;
}

static int make_tables(struct store *s, int opened, struct err *e)
{
        AUTO_FREE char *id = mem_printf("PRAGMA application_id=%d", APPLICATION_ID);
        int r = opened;

        if (r == SQLITE_OK)
                r = sqlite3_exec(s->db, id, NULL, NULL, NULL);
        if (r == SQLITE_OK)
                r = sqlite3_exec(s->db, schema, NULL, NULL, NULL);
        if (r == SQLITE_OK)
                return 0;
        db_error(s, r, "make", e);
        db_close(s);
        return -1;
}

int db_memory(struct store *s, struct err *e)
{
        db_close(s);
        return make_tables(s, connect_to(s, ":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE),
                           e);
}

/* A damaged or foreign index keeps its bytes under another name. */
static void move_aside(struct store *s)
{
        AUTO_FREE char *to = mem_printf("berth.db.broken-%lld", (long long)time(NULL));

        if (renameat(s->dir, "berth.db", s->dir, to) == 0)
                log_warning(s->log,
                            "the index \"%s/berth.db\" was damaged: it is kept as %s and made "
                            "again from what is on disk",
                            s->path, to);
}

/* Its application_id, at byte 68, says that it is an index of ours. */
static bool is_ours(struct store *s)
{
        AUTO_FD int fd = openat(s->dir, "berth.db", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        unsigned char b[4];
        ssize_t n = fd < 0 ? 0 : pread(fd, b, sizeof b, 68);

        return n <= 0 || (n == 4 && (b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3]) == APPLICATION_ID);
}

int db_create(struct store *s, bool aside, struct err *e)
{
        /* The others are of a berth whose index had a WAL. */
        static const char *const files[] = { "berth.db", "berth.db-wal", "berth.db-shm",
                                             "berth.db-journal" };
        AUTO_FREE char *path = mem_printf("%s/berth.db", s->path);
        struct stat st;

        db_close(s);
        if (fstatat(s->dir, "berth.db", &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size > 0 &&
            (aside || !is_ours(s)))
                move_aside(s);
        for (size_t i = 0; i < ARRAY_SIZE(files); i++)
                if (unlinkat(s->dir, files[i], 0) < 0 && errno != ENOENT)
                        return err_sys(e, errno, "cannot remove \"%s/%s\"", s->path, files[i]);
        if (make_tables(s, connect_to(s, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE), e) < 0)
                return -1;
        if (fstatat(s->dir, "berth.db", &st, AT_SYMLINK_NOFOLLOW) < 0)
                return err_sys(e, errno, "cannot find \"%s\"", path);
        s->inode = st.st_ino;
        return 0;
}
