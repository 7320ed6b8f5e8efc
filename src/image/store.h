/* The store of images: what is on disk, and a SQLite index of it.
 *
 *   /var/lib/berth/              rootless: $XDG_DATA_HOME/berth
 *     berth.db, db.lock          the index, and its lock and seal (S4, S1)
 *     blobs/ALGORITHM/HEX        manifests, configurations; layers' blobs only where asked for
 *     layers/KEY/                one unpacked layer (layer.h); KEY is its diffID's hex or, where
 *                                it leans on lower layers, its chainID's (store_layer_key)
 *     images/HEX                 one image: a JSON record; HEX is its manifest's
 *     records/ID                           a container's record: JSON, see store-container.h
 *     refs/HEX                   one tag: JSON {name, digest}; HEX is the SHA-256 of its name
 *     sources/HEX                where the blobs of a layer come from; HEX is of its diffID
 *     stage/NAME/, NAME.lock     work in progress, under a flock held by who does it
 *     trash/                     what has been removed and is being deleted
 *
 * S1  What is on disk is the truth; the index is made from it. A seal in db.lock says which
 *     berth.db it is for, of which boot, and the times of images/, refs/, layers/ and records/,
 *     which every change of ours sets to a moment of its own choice. Where they differ, somebody
 *     was killed between a change and the index, or a stranger was at it: the index is made to
 *     agree. Where the seal does not fit the file, its writer was killed, or the host was
 *     restarted: it is made anew.
 * S2  Nothing is visible under its name before its size, digest and diffID are verified and its
 *     bytes are on disk: stage, verify, sync, rename, index, sync the directory.
 * S3  Removing: the record goes first, durably; then what it alone needed is renamed into trash/;
 *     deletion follows with no lock held, and is finished by whoever collects next.
 * S4  One flock is all the locking of the index: exclusive for who changes it, shared for who
 *     reads, and held for one change or one answer. Who may not open it reads an index of his own,
 *     in memory.
 * S5  No lock is held across network, unpacking or unmounting, but that of the one stage entry
 *     being made.
 * S6  What is being added or used is protected from collection by a lease: a lock on a byte of
 *     db.lock, which ends with its process.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/hash.h"
#include "image/manifest.h"
#include "image/platform.h"

struct store;

enum layer_backend { LAYER_EROFS, LAYER_DIR, LAYER_BACKEND_MAX };
extern const char *const layer_backend_names[LAYER_BACKEND_MAX]; /* "erofs", "directory" */

/* Opens (creating it where missing) the store at root (NULL: the default place). ret is the
 * caller's to close. */
int store_open(const char *root, const struct log *log, struct store **ret, struct err *e);
void store_close(struct store *s);    /* takes NULL */
int store_dir(const struct store *s); /* O_PATH descriptor of its root; not the caller's to close */
const char *store_path(const struct store *s); /* as an absolute path, for messages */
/* Whether e says that there is no more room on a disk, or none for this user. */
bool store_is_full(const struct err *e);
/* Where it does, hints at what makes room, and in which store; for who has failed to add something.
 * Returns -1. */
int store_full_hint(const struct store *s, struct err *e);
/* What new layers are: erofs for root where the kernel mounts it from a file (6.12), directories
 * otherwise; BERTH_LAYERS=erofs|directory overrides. */
enum layer_backend store_backend(const struct store *s);

/* ---- blobs ---- */

/* Keeps data under its digest (computed; must equal digest unless NULL). Durable on return. */
int store_blob_put(struct store *s, const void *data, size_t n, const char *digest,
                   char ret_digest[DIGEST_CAP], struct err *e);
bool store_blob_has(struct store *s, const char *digest);
int store_blob_open(struct store *s, const char *digest, int *ret_fd, uint64_t *ret_size,
                    struct err *e);
/* Reads a whole blob (of at most limit bytes) into a and verifies its digest again. */
int store_blob_read(struct store *s, struct arena *a, const char *digest, size_t limit,
                    const char **ret, size_t *ret_n, struct err *e);

/* ---- stage ---- */

/* The same for a file dir/name on the same file system, which is renamed; its digest has been
 * verified by the caller. Durable on return. */
int store_blob_adopt(struct store *s, int dir, const char *name, const char *digest, struct err *e);

/* A directory of our own below stage/, held by a flock. Two processes that stage the same name:
 * the second waits until the first is done (it then should look again whether what it wants
 * exists), or gets ERR_STATE with nowait. What a dead process left is found there again: a
 * download may go on. */
struct stage {
        char name[80];
        int dir;  /* O_RDONLY|O_DIRECTORY */
        int lock; /* held until stage_done */
};
int stage_open(struct store *s, const char *name, bool nowait, struct stage *ret, struct err *e);
void stage_keep(struct store *s,
                struct stage *g); /* releases it, leaving its files for the next try */
void stage_remove(struct store *s, struct stage *g); /* releases it, deleting its files */

/* ---- layers ---- */

struct layer {
        char key[72]; /* hex */
        char diff_id[DIGEST_CAP];
        enum layer_backend backend;
        uint64_t size; /* of the tar */
        uint64_t disk; /* bytes that it takes here */
        uint64_t entries;
        bool leans; /* on lower layers: keyed by chainID */
};
/* The key of a layer from its diffID or, where it leans, its chainID: the hex of a SHA-256, else
 * that of the SHA-256 of the digest's text. */
void store_layer_key(const char *digest, char ret[72]);
/* The unpacked layer of diff_id, or of chain (where it leans; NULL: not asked); ERR_NOT_FOUND.
 * Found without a lease it may be collected a moment later. */
int store_layer_find(struct store *s, const char *diff_id, const char *chain, struct layer *ret,
                     struct err *e);
/* S2: syncs the staged directory (syncfs, or fdatasync of its files), writes meta.json into it,
 * renames it to layers/KEY and indexes it. The stage is used up, also on failure. Somebody else's
 * equal layer is success. Where l->disk is 0 it is measured. */
int store_layer_commit(struct store *s, struct stage *g, const struct layer *l, struct err *e);
/* O_PATH|O_DIRECTORY of layers/KEY. */
int store_layer_open(struct store *s, const char *key, int *ret_dir, struct err *e);
/* A blob that a registry is known to hold for this layer, so that a push can mount or skip it. */
struct blob_source {
        const char *blob; /* digest of the compressed blob */
        const char *media_type;
        uint64_t size;
        const char *repository; /* "docker.io/library/busybox" */
};
int store_layer_source_add(struct store *s, const char *diff_id, const struct blob_source *b,
                           struct err *e);
int store_layer_sources(struct store *s, struct arena *a, const char *diff_id,
                        struct blob_source **ret, size_t *ret_n, struct err *e);

/* ---- images and tags ---- */

struct image {
        const char *digest;        /* of its manifest */
        const char *id;            /* of its config: the image ID */
        const char *media_type;    /* of the manifest */
        const char *index_digest;  /* that it was chosen from, or NULL */
        const char *artifact_type; /* or NULL: no runnable image */
        struct platform platform;
        uint64_t size;   /* of its unpacked layers (tar) */
        int64_t created; /* seconds since 1970, by its config */
        int64_t added;
        struct strings layers; /* keys, lowest first */
        struct strings diff_ids;
        struct strings names; /* tags, full; then the names REPOSITORY@DIGEST it was pulled by */
        struct key_values labels;
        uint32_t containers; /* that use it */
};
/* Records an image whose manifest, config and layers are all present (checked: ERR_STATE names
 * what isn't). Of an index (manifest list) id is its own digest and there are no layers. size and
 * containers are ignored; of names, tags are pointed at it (as store_tag does) and names with
 * digests are kept, with those that it has already. */
int store_image_add(struct store *s, const struct image *i, struct err *e);
/* Lists of them, newest first; all in a. */
struct image_filter {
        const char *reference;      /* glob over names, or NULL */
        const char *const *labels;  /* "key" or "key=value"; ended by NULL, or NULL */
        const char *before, *since; /* image */
        int dangling;               /* -1: both */
        int64_t until;              /* created before; 0: no matter */
        bool all;
};
int store_images(struct store *s, struct arena *a, const struct image_filter *f, struct image **ret,
                 size_t *ret_n, struct err *e);
/* Whether a glob matches a name as it is stored, as people write it, or either without its tag. */
bool image_name_matches(struct arena *a, const char *pattern, const char *name);
/* Finds by name (short names try what is here under any registry: exact, localhost/, docker.io),
 * digest, or unique prefix of an ID. ERR_NOT_FOUND; ERR_INVALID for an ambiguous prefix, listing
 * them. */
int store_image_find(struct store *s, struct arena *a, const char *text, struct image *ret,
                     struct err *e);
/* Points a full name (reference_str) at an image, taking it from another. */
int store_tag(struct store *s, const char *name, const char *digest, struct err *e);
int store_untag(struct store *s, const char *name, struct err *e);
/* The image without names, configuration, manifest, and layers that nobody else needs. It returns
 * once nothing shows any more; deletion goes on in a child (S3) unless wait is set. */
int store_image_remove(struct store *s, const char *digest, bool wait, struct err *e);

/* ---- leases, collection, checks ---- */

/* Protects from store_collect whatever nobody refers to: take it before looking for layers, end it
 * once the image is recorded. It ends with the process, or with store_lease_end, which also does a
 * collection that had to wait for it. Where what is an image's manifest digest, that image alone is
 * in use: look for it again once it is leased. *ret is a descriptor. */
int store_lease(struct store *s, const char *what, int *ret, struct err *e);
void store_lease_end(struct store *s, int lease);
struct collected {
        uint64_t layers, blobs, stages, bytes;
};
enum collect {
        COLLECT_WAIT = 1 << 0,   /* return when all is deleted; otherwise a child does it */
        COLLECT_STAGES = 1 << 1, /* also downloads that could go on, not only those of old */
};
/* Mark and sweep: removes layers, blobs and abandoned stages that no image, container or lease
 * refers to, and finishes deletions that were interrupted. ret may be NULL. */
int store_collect(struct store *s, unsigned flags, struct collected *ret, struct err *e);
struct usage {
        struct {
                uint64_t count, active, size, reclaimable;
        } images, containers, blobs, stages, trash;
};
int store_usage(struct store *s, struct usage *ret, struct err *e);
/* Bytes on disk of dir/name and all below it; what can't be read counts as nothing. */
uint64_t store_tree_size(int dir, const char *name);
struct finding {
        const char *object;  /* "layer 4f2a...", "tag docker.io/library/busybox:latest" */
        const char *problem; /* "layer.tar is missing" */
        const char *remedy;  /* a sentence, or NULL */
        bool repaired;
};
/* Verifies everything: index against disk, digests of blobs, with `deep` also each layer's bytes
 * against its diffID; repair rebuilds the index, drops what is broken and finishes what was
 * interrupted. Findings live in a. */
int store_check(struct store *s, struct arena *a, bool deep, bool repair, struct finding **ret,
                size_t *ret_n, struct err *e);
