/* The index: opening it, its statements, its schema and how that changes.
 *
 * WAL with synchronous=NORMAL: a power cut may take the last commits, never the file's soundness,
 * and S1 finds what is missing. Checkpoints happen in store_commit alone, under the lock (S4):
 * automatic ones and those on close are off, so that berth.db-wal stays between processes, and a
 * reader who may not write finds it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <time.h>

#include "base/str.h"
#include "image/store-internal.h"

/* "brth" */
#define APPLICATION_ID 0x62727468

/* Step n takes the schema from version n to n + 1. What is in the index can be made again from the
 * disk, so a step may also drop tables and have the times differ (S1). */
static const char *const migrations[] = {
        "CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID;"
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
        "CREATE TABLE sources(diff_id TEXT, repository TEXT, blob TEXT, media_type TEXT,"
        " size INTEGER, PRIMARY KEY(diff_id, repository, blob)) WITHOUT ROWID;"
        "CREATE TABLE leases(id INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT, pid INTEGER,"
        " start INTEGER, expires INTEGER);",
        /* A container pins its layers in `uses` under its own id. */
        "CREATE TABLE containers(id TEXT PRIMARY KEY, name TEXT UNIQUE NOT NULL, created INTEGER,"
        " image TEXT, json TEXT NOT NULL) WITHOUT ROWID;"
        "CREATE INDEX containers_created ON containers(created);",
};

#define IMAGE_COLUMNS                                                                              \
        "i.digest, i.id, i.media_type, i.index_digest, i.artifact_type, i.os, i.architecture,"     \
        " i.variant, i.os_version, i.size, i.created, i.added, i.layers, i.diff_ids, i.names,"     \
        " i.labels, (SELECT group_concat(name, ' ') FROM (SELECT name FROM refs"                   \
        " WHERE refs.digest = i.digest ORDER BY name))"

static const char *const queries[] = {
        [Q_BEGIN] = "BEGIN IMMEDIATE",
        [Q_COMMIT] = "COMMIT",
        [Q_ROLLBACK] = "ROLLBACK",
        [Q_META_GET] = "SELECT value FROM meta WHERE key = ?",
        [Q_META_SET] = "INSERT INTO meta VALUES(?, ?)"
                       " ON CONFLICT(key) DO UPDATE SET value = excluded.value",
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
        [Q_USES_PRUNE] = "DELETE FROM uses WHERE image NOT IN (SELECT digest FROM images) AND"
                         " image NOT IN (SELECT what FROM leases) AND"
                         " image NOT IN (SELECT id FROM containers)",
        [Q_USED] = "SELECT 1 FROM uses WHERE object = ? LIMIT 1",
        [Q_PINNED] = "SELECT 1 FROM uses u JOIN leases l ON l.what = u.image"
                     " WHERE u.object = ? LIMIT 1",
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
        [Q_SOURCE_ADD] = "INSERT OR REPLACE INTO sources VALUES(?, ?, ?, ?, ?)",
        [Q_SOURCES] = "SELECT blob, media_type, size, repository FROM sources WHERE diff_id = ?",
        [Q_SOURCES_PRUNE] = "DELETE FROM sources"
                            " WHERE diff_id NOT IN (SELECT diff_id FROM layers)",
        [Q_LEASE_ADD] = "INSERT INTO leases(what, pid, start, expires) VALUES(?, ?, ?, ?)",
        [Q_LEASE_DEL] = "DELETE FROM leases WHERE id = ?",
        [Q_LEASES] = "SELECT id, what, pid, start, expires FROM leases",
        [Q_USAGE] = "SELECT key, disk, (SELECT count(*) FROM uses WHERE object = key),"
                    " EXISTS(SELECT 1 FROM uses u JOIN leases l ON l.what = u.image"
                    " WHERE u.object = key) FROM layers",
        [Q_CTR_ADD] = "INSERT INTO containers VALUES(?1, ?2, ?3, ?4, ?5) ON CONFLICT(id) DO UPDATE"
                      " SET name = ?2, created = ?3, image = ?4, json = ?5",
        [Q_CTR_DEL] = "DELETE FROM containers WHERE id = ?",
        [Q_CTR_GET] = "SELECT id FROM containers WHERE name = ?",
        [Q_CTR_FIND] = "SELECT name, json, id FROM containers WHERE name = ?1 OR"
                       " id >= ?1 AND id < ?1 || 'g' ORDER BY name = ?1 DESC, id = ?1 DESC, id",
        [Q_CTRS] = "SELECT json FROM containers ORDER BY created DESC, id",
        [Q_CTR_IDS] = "SELECT id FROM containers",
        [Q_CTR_IMAGES] = "SELECT image FROM containers",
};
static_assert(ARRAY_SIZE(queries) == Q_MAX, "each statement has its text");
static_assert(Q_MAX <= ARRAY_SIZE(((struct store *)0)->cached), "each statement has its place");

int db_error(struct store *s, int code, const char *what, struct err *e)
{
        int sys = s->db ? sqlite3_system_errno(s->db) : 0;

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
        return err_hint(e, "`berth system check --repair` makes it again from what is on disk.");
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
        if (prepare(s, q, e) < 0)
                return -1;
        *ret = (struct rows){ s, s->cached[q], e };
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

/* ---- opening ---- */

static int pragma_int(struct store *s, const char *sql, int *ret)
{
        sqlite3_stmt *st = NULL;
        int r = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);

        if (r == SQLITE_OK)
                r = sqlite3_step(st);
        if (r == SQLITE_ROW) {
                *ret = sqlite3_column_int(st, 0);
                r = SQLITE_OK;
        }
        sqlite3_finalize(st);
        return r;
}

static int connect_to(struct store *s)
{
        AUTO_FREE char *path = mem_printf("%s/berth.db", s->path);
        int flags = s->lock < 0 ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
        int r = sqlite3_open_v2(path, &s->db, flags | SQLITE_OPEN_NOMUTEX, NULL);

        if (r != SQLITE_OK)
                return r;
        sqlite3_extended_result_codes(s->db, 1);
        sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        sqlite3_wal_autocheckpoint(s->db, 0);
        sqlite3_busy_timeout(s->db, 10000);
        return sqlite3_exec(s->db, "PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY", NULL,
                            NULL, NULL);
}

void db_close(struct store *s)
{
        for (size_t i = 0; i < Q_MAX; i++) {
                sqlite3_finalize(s->cached[i]);
                s->cached[i] = NULL;
        }
        sqlite3_close(s->db);
        s->db = NULL;
}

/* SQLITE_OK, or what is wrong with it: SQLITE_NOTADB also for somebody else's database. */
static int look(struct store *s, int *ret_version)
{
        int id = 0, r = pragma_int(s, "PRAGMA user_version", ret_version);

        if (r == SQLITE_OK)
                r = pragma_int(s, "PRAGMA application_id", &id);
        if (r == SQLITE_OK && id != APPLICATION_ID && *ret_version != 0)
                return SQLITE_NOTADB;
        if (r == SQLITE_OK && id == 0 && *ret_version == 0) {
                int tables = 0;

                r = pragma_int(s, "SELECT count(*) FROM sqlite_master", &tables);
                return r == SQLITE_OK && tables > 0 ? SQLITE_NOTADB : r;
        }
        return r;
}

static int migrate(struct store *s, int version, struct err *e)
{
        AUTO_FREE char *end =
                mem_printf("PRAGMA application_id=%d; PRAGMA user_version=%zu; COMMIT",
                           APPLICATION_ID, ARRAY_SIZE(migrations));
        int r = sqlite3_exec(s->db, "PRAGMA journal_mode=WAL; BEGIN IMMEDIATE", NULL, NULL, NULL);

        for (size_t i = (size_t)version; r == SQLITE_OK && i < ARRAY_SIZE(migrations); i++)
                r = sqlite3_exec(s->db, migrations[i], NULL, NULL, NULL);
        if (r == SQLITE_OK)
                r = sqlite3_exec(s->db, end, NULL, NULL, NULL);
        return r == SQLITE_OK ? 0 : db_error(s, r, "prepare", e);
}

static bool damaged(int code)
{
        return (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB;
}

/* A damaged or foreign index keeps its bytes under another name; S1 makes a new one. */
static void move_aside(struct store *s)
{
        static const char *const suffixes[] = { "", "-wal", "-shm" };
        int64_t now = time(NULL);

        db_close(s);
        for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
                AUTO_FREE char *from = mem_printf("berth.db%s", suffixes[i]);
                AUTO_FREE char *to =
                        mem_printf("berth.db.broken-%lld%s", (long long)now, suffixes[i]);

                renameat(s->dir, from, s->dir, to);
        }
        log_warning(s->log,
                    "the index \"%s/berth.db\" was damaged: it is kept as berth.db.broken-%lld "
                    "and made again from what is on disk",
                    s->path, (long long)now);
}

static int look_back(struct store *s, struct err *e)
{
        if (fstatat(s->dir, "berth.db", &s->db_stat, 0) < 0)
                return err_sys(e, errno, "cannot find \"%s/berth.db\"", s->path);
        return 0;
}

int db_open_locked(struct store *s, struct err *e)
{
        int version = 0, r = s->db ? SQLITE_OK : connect_to(s);

        if (r == SQLITE_OK)
                r = look(s, &version);
        if (damaged(r)) {
                move_aside(s);
                version = 0;
                r = connect_to(s);
                if (r == SQLITE_OK)
                        r = look(s, &version);
        }
        if (r != SQLITE_OK)
                return db_error(s, r, "open", e);
        if (version > (int)ARRAY_SIZE(migrations)) {
                err_set(e, ERR_UNSUPPORTED, "the store \"%s\" was made by a newer berth", s->path);
                return err_hint(e, "Update berth, or name another store with --root.");
        }
        if (version < (int)ARRAY_SIZE(migrations) && migrate(s, version, e) < 0)
                return -1;
        return look_back(s, e);
}

static int lock(struct store *s, struct err *e)
{
        while (flock(s->lock, LOCK_EX) < 0)
                if (errno != EINTR)
                        return err_sys(e, errno, "cannot lock the store \"%s\"", s->path);
        return 0;
}

int db_open(struct store *s, struct err *e)
{
        int version = 0, r = connect_to(s);

        if (r == SQLITE_OK)
                r = look(s, &version);
        if (r == SQLITE_OK && version == (int)ARRAY_SIZE(migrations))
                return look_back(s, e);
        if (s->lock < 0 || (r != SQLITE_OK && !damaged(r)))
                return db_error(s, r == SQLITE_OK ? SQLITE_SCHEMA : r, "open", e);
        /* It has to be made, migrated or replaced: under the lock, where somebody else may just
         * have done so. */
        if (lock(s, e) < 0)
                return -1;
        db_close(s);
        r = db_open_locked(s, e);
        flock(s->lock, LOCK_UN);
        return r;
}

int db_remake(struct store *s, struct err *e)
{
        if (lock(s, e) < 0)
                return -1;
        move_aside(s);
        err_clear(e);
        if (db_open_locked(s, e) < 0) {
                flock(s->lock, LOCK_UN);
                return -1;
        }
        flock(s->lock, LOCK_UN);
        return store_begin(s, e) < 0 ? -1 : store_commit(s, 0, e);
}
