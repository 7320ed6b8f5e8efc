/* What the store's own files share: the handle, the index, transactions. See store.h for the
 * theory and the invariants. */
#pragma once

#include <sqlite3.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "codec/json.h"
#include "image/store.h"

/* The directories whose times the index remembers (S1), then the others. */
enum store_sub {
        SUB_IMAGES,
        SUB_REFS,
        SUB_LAYERS,
        SUB_RECORDS,
        SUB_TRACKED,
        SUB_STAGE = SUB_TRACKED,
        SUB_TRASH,
        SUB_SOURCES,
        SUB_BLOBS,
        SUB_SHA256,
        SUB_SHA512,
        SUB_MAX
};
extern const char *const store_sub_names[SUB_MAX];

/* What db.lock says of berth.db, read and written under the lock alone (S1). */
struct seal {
        uint32_t state;
        uint32_t collect; /* a collection had to wait for somebody who was adding */
        char magic[8];    /* another one is another schema */
        char boot[40];    /* boot_id: what was not flushed before a power cut is not believed */
        uint64_t device, inode, size;
        int64_t written;            /* berth.db's time, ns */
        int64_t times[SUB_TRACKED]; /* the directories' */
};

struct store {
        int dir; /* O_PATH */
        char *path;
        const struct log *log;
        int sub[SUB_MAX]; /* directories, opened when first needed; -1 */
        int lock;         /* db.lock; -1: it may not be opened */
        bool writable;
        bool locked;      /* exclusively: by us, who change it */
        unsigned reading; /* statements and holds of ours under the shared lock */
        char boot[40];
        struct seal seal;           /* as read when the lock was taken */
        sqlite3 *db;                /* opened when first needed */
        sqlite3_stmt *cached[64];   /* by enum query */
        uint64_t inode;             /* of the file that db is; 0: it is one in memory */
        int64_t times[SUB_TRACKED]; /* that the one in memory was made at */
};

/* A directory of the store, opened once; -1 with e filled. */
int store_sub(struct store *s, enum store_sub which, struct err *e);

/* ---- statements ---- */

enum query {
        Q_BEGIN,
        Q_COMMIT,
        Q_ROLLBACK,
        Q_IMAGE_ADD,
        Q_IMAGE_DEL,
        Q_IMAGES,
        Q_IMAGE_BY_DIGEST,
        Q_IMAGE_BY_NAME,
        Q_IMAGE_BY_SUFFIX,
        Q_IMAGE_BY_ID,
        Q_IMAGE_BY_REPO_DIGEST,
        Q_IMAGE_DIGESTS,
        Q_USES_ADD,
        Q_USES_DEL,
        Q_USES_STALE,
        Q_USED,
        Q_USERS,
        Q_REF_SET,
        Q_REF_DEL,
        Q_REF_DEL_IMAGE,
        Q_REF_OF,
        Q_REF_GET,
        Q_REFS,
        Q_LAYER_ADD,
        Q_LAYER_DEL,
        Q_LAYER_GET,
        Q_LAYERS,
        Q_LAYERS_UNUSED,
        Q_CTR_ADD,
        Q_CTR_DEL,
        Q_CTR_GET,
        Q_CTR_FIND,
        Q_CTRS,
        Q_CTR_IDS,
        Q_CTR_USING,
        Q_MAX
};

/* A statement being stepped; db_end() it before the next use of the same one. Outside of a
 * transaction it holds the shared lock until then. */
struct rows {
        struct store *store;
        sqlite3_stmt *st;
        struct err *e;
        bool reading;
};
/* Binds by types: 's' const char * (NULL allowed), 'i' int64_t. -1 with e filled. */
int db_query(struct store *s, enum query q, struct rows *ret, struct err *e, const char *types,
             ...);
int db_next(struct rows *r); /* 1: a row; 0: no more; -1 with e filled */
void db_end(struct rows *r);
static inline void rows_done_p(struct rows *r)
{
        db_end(r);
}
#define AUTO_ROWS __attribute__((cleanup(rows_done_p))) struct rows
/* Runs one that gives no rows. */
int db_run(struct store *s, enum query q, struct err *e, const char *types, ...);
const char *db_str(struct rows *r, struct arena *a, int column); /* a copy; NULL for NULL */
const char *db_text(struct rows *r, int column);                 /* until the next step; "" */
int64_t db_int(struct rows *r, int column);
int db_error(struct store *s, int code, const char *what, struct err *e);

/* Opens berth.db, of that inode, unless it is open: SQLITE_OK, or SQLite's code. */
int db_attach(struct store *s, uint64_t inode);
/* Makes an empty one in its place, under the lock; aside: what is there is kept under another
 * name. */
int db_create(struct store *s, bool aside, struct err *e);
int db_memory(struct store *s, struct err *e); /* an empty one in memory */
void db_close(struct store *s);
bool db_damaged(int code); /* by SQLite's code */
/* Whether SQLite finds the file whole; *ret_why (in a) says what is wrong. */
bool db_sound(struct store *s, struct arena *a, const char **ret_why);

/* ---- transactions: hold db.lock, and the index agrees with the disk at their start ---- */

int store_begin(struct store *s, struct err *e);
/* changed: bits 1 << SUB_* of the tracked directories in which something was made or removed. */
int store_commit(struct store *s, unsigned changed, struct err *e);
void store_abort(struct store *s);

/* Reads of one moment: nobody changes the index between the two. They may be nested, and each query
 * outside of a transaction is such a pair by itself; no transaction may be begun in between. */
int store_hold(struct store *s, struct err *e);
void store_release(struct store *s);

/* What berth.db is worth by its seal. */
enum verdict {
        SEAL_FITS,
        SEAL_BEHIND, /* whole, but the directories were changed since */
        SEAL_VOID,   /* none; of another boot, device or schema; or its writer was killed */
        SEAL_BROKEN, /* changed by others, or SQLite found it damaged */
};
int store_verdict(struct store *s, enum verdict *ret, struct err *e);
/* That it is damaged, for whoever comes next. */
void seal_break(struct store *s);
/* The index is made again from what is on disk. */
int store_remake(struct store *s, struct err *e);

/* Makes the index agree with what is on disk; within a transaction. findings may be NULL. */
struct findings;
int store_reconcile(struct store *s, struct findings *f, struct err *e);

struct findings {
        struct arena *a;
        struct finding *v;
        size_t n;
};
void finding_add(struct findings *f, bool repaired, const char *object, const char *problem,
                 const char *remedy);

/* ---- records ---- */

/* Writes or reads images/HEX, refs/HEX and layers/KEY/meta.json. Readers: 0, or -1 with e filled
 * (ERR_INVALID: damaged). */
void record_image_write(const struct image *i, struct buf *out);
int record_image_read(int dir, const char *name, struct arena *a, struct image *ret, struct err *e);
void record_ref_write(const char *name, const char *digest, struct buf *out);
int record_ref_read(int dir, const char *name, struct arena *a, const char **ret_name,
                    const char **ret_digest, struct err *e);
void record_layer_write(const struct layer *l, struct buf *out);
int record_layer_read(int dir, const char *key, struct layer *ret, struct err *e);
void record_ref_file(const char *name, char ret[DIGEST_CAP]); /* HEX of a tag */

/* Puts an image's row and what it uses into the index. */
int index_image(struct store *s, const struct image *i, struct err *e);
int index_layer(struct store *s, const struct layer *l, struct err *e);
/* Blobs and layers of an image, by its manifest; strings in a. */
int image_uses(struct store *s, struct arena *a, const struct image *i, struct strings *ret,
               struct err *e);
/* Whether an image's blobs and layers are there: ERR_STATE names what isn't. */
int image_present(struct store *s, const struct image *i, struct err *e);

/* "a b c" as strings in a, and back. */
struct strings strings_split(struct arena *a, const char *text);
const char *strings_join(struct arena *a, const struct strings *l);
int labels_read(struct arena *a, const struct json *j, struct key_values *ret);

/* Drops records of where layers' blobs come from whose layer is gone; within a transaction. */
int sources_prune(struct store *s, struct err *e);

/* Puts a container's row, and the layers that its image pins by it, into the index. */
int index_container(struct store *s, const char *id, const char *json, struct err *e);

/* ---- leases, collection ---- */

/* Whether somebody holds a lease on what: an image's digest; NULL: whether anything is being
 * added. */
bool lease_held(struct store *s, const char *what);
/* Whether a container or a lease uses the image: 1, 0; -1 with e filled. */
int image_in_use(struct store *s, const char *digest, struct err *e);
/* Moves dir/name into trash/ under a name of its own; -ENOENT where there is none. */
int trash_take(struct store *s, int dir, const char *name);
/* Deletes what is in trash/: here with wait, else in a child that outlives us. */
int trash_empty(struct store *s, bool wait, struct err *e);
/* Within a transaction: unused layers, blobs and uses go. */
int sweep(struct store *s, struct collected *ret, struct err *e);
/* Calls each for the entries of a directory but "." and ".."; stops at non-zero and returns it. */
int each_entry(struct store *s, enum store_sub sub,
               int (*each)(void *ctx, int dir, const char *name), void *ctx, struct err *e);
int each_in(int dir, int (*each)(void *ctx, int dir, const char *name), void *ctx); /* or -errno */
/* The path of a checked digest below the store: "blobs/sha256/HEX". */
void blob_path(const char *digest, char ret[160]);
