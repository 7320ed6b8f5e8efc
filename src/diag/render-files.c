/* FILES: where its files come from, what of the host it can reach, what is hidden from it. */
#include <string.h>

#include "base/str.h"
#include "diag/render-rows.h"

static void row_root(struct page *p, const struct facts *f)
{
        const struct fs_facts *fs = &f->fs;
        const struct mount_fact *root = fs->root >= 0 ? &fs->mounts[fs->root] : NULL;

        page_row(p, "root");
        if (f->sees.ns[NS_MOUNT].relation == NS_REL_HOST) {
                page_item(p, PAGE_PLAIN, "the host's own mounts (%zu)", fs->n);
                if (fs->root_path && !str_eq(fs->root_path, "/"))
                        page_path(p, PAGE_WARN, "changed to ", fs->root_path);
                return;
        }
        if (!root) {
                page_item(p, PAGE_DIM, fs->is == NUM_KNOWN ? "none" : "unavailable");
                return;
        }
        page_item(p, PAGE_PLAIN, "%s", root->type);
        page_item(p, PAGE_PLAIN, root->ro ? "read-only" : "writable");
        if (fs->n_lower)
                page_item(p, PAGE_PLAIN, "%zu layer%s", fs->n_lower, fs->n_lower == 1 ? "" : "s");
        if (root->idmapped)
                page_item(p, PAGE_PLAIN, "idmapped");
        /* Of an overlay the layers' rows tell more than the place where it is put together. */
        if (root->host_path && (p->full || !fs->n_lower))
                page_path(p, root->danger ? PAGE_BAD : PAGE_PLAIN, "<- ", root->host_path);
        else if (!str_eq(root->root, "/"))
                page_path(p, PAGE_PLAIN, "<- ", root->root);
}

static void layer_row(struct page *p, const char *key, const struct layer_fact *l)
{
        page_row(p, key);
        if (l->origin && !p->full) {
                page_item(p, PAGE_PLAIN, "%s", l->origin);
        } else {
                page_path(p, PAGE_PLAIN, "", l->path);
                if (l->origin)
                        page_word(p, PAGE_DIM, "(%s)", l->origin);
        }
}

static void rows_layers(struct page *p, const struct fs_facts *fs)
{
        size_t shown = p->full ? fs->n_lower : MIN(fs->n_lower, (size_t)3);

        if (fs->upper)
                layer_row(p, "upper", &fs->upper_origin);
        for (size_t i = 0; i < shown; i++)
                layer_row(p, "lower", &fs->lower[i]);
        if (shown < fs->n_lower) {
                page_row(p, "");
                page_item(p, PAGE_DIM, "%zu more layers", fs->n_lower - shown);
        }
}

static void row_mount(struct page *p, const struct mount_fact *m)
{
        page_row(p, m->ro ? "ro" : "rw");
        page_path(p, PAGE_PLAIN, "", m->point);
        if (m->host_path)
                page_path(p, PAGE_PLAIN, "<- ", m->host_path);
        else if (m->deleted)
                page_path(p, PAGE_WARN, "<- (removed) ", m->root);
        else if (!str_eq(m->root, "/"))
                page_path(p, PAGE_PLAIN, "<- not mounted on the host: ", m->root);
        else
                page_word(p, PAGE_PLAIN, "<- new %s", m->type);
        if (m->reaches_host)
                page_item(p, PAGE_WARN, "shared propagation with the host");
        else if (m->slave && p->full)
                page_item(p, PAGE_PLAIN, "receives the host's mounts");
        if (m->idmapped)
                page_item(p, PAGE_PLAIN, "idmapped");
        if (m->danger)
                page_word(p, PAGE_BAD, "!! %s%s", m->danger,
                          m->controls_host ? ": whoever can connect is root on the host" : "");
        else if (m->is_socket)
                page_word(p, PAGE_WARN, "a socket of the host's");
}

#define MOUNT_ROWS_SHORT 12

static void rows_mounts(struct page *p, const struct fs_facts *fs)
{
        size_t shown = 0, left = 0;

        /* What deserves a look comes first, whatever its place in the table. */
        for (int pass = 0; pass < 2; pass++)
                for (size_t i = 0; i < fs->n; i++) {
                        const struct mount_fact *m = &fs->mounts[i];
                        bool wanted = m->role == MOUNT_DATA || (p->full && m->role != MOUNT_ROOT);

                        if ((m->danger != NULL) != (pass == 0) || (m->hidden && !p->full) ||
                            (!wanted && !m->danger) || m->role == MOUNT_ROOT)
                                continue;
                        if (!p->full && shown >= MOUNT_ROWS_SHORT) {
                                left++;
                                continue;
                        }
                        row_mount(p, m);
                        shown++;
                }
        if (left) {
                page_row(p, "");
                page_item(p, PAGE_DIM, "%zu more mounts: see --full", left);
        }
}

static void row_hidden(struct page *p, const struct fs_facts *fs)
{
        page_row(p, "kernel");
        page_item(p, PAGE_PLAIN, "%zu paths masked", fs->count[MOUNT_MASKED]);
        page_item(p, PAGE_PLAIN, "%zu read-only", fs->count[MOUNT_READONLY_PATH]);
        page_item(p, PAGE_PLAIN, "%zu engine files", fs->count[MOUNT_ENGINE]);
        for (size_t i = 0; i < fs->n_writable && (p->full || i < 4); i++)
                page_item(p, PAGE_WARN, "%s writable", fs->writable[i]);
        if (fs->n_unmasked) {
                page_item(p, PAGE_WARN, "readable:");
                for (size_t i = 0; i < fs->n_unmasked && (p->full || i < 4); i++)
                        page_word(p, PAGE_WARN, "%s", fs->unmasked[i]);
                if (!p->full && fs->n_unmasked > 4)
                        page_word(p, PAGE_WARN, "and %zu more", fs->n_unmasked - 4);
        }
}

void render_files(struct page *p, const struct facts *f)
{
        const struct fs_facts *fs = &f->fs;

        page_section(p, "FILES");
        row_root(p, f);
        if (fs->cwd && (p->full || !str_eq(fs->cwd, "/"))) {
                page_row(p, "cwd");
                page_path(p, PAGE_PLAIN, "", fs->cwd);
        }
        if (fs->is != NUM_KNOWN || f->sees.ns[NS_MOUNT].relation != NS_REL_OWN)
                return;
        rows_layers(p, fs);
        rows_mounts(p, fs);
        row_hidden(p, fs);
}
