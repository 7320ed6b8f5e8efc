/* Stands in for image_pull() and snapshot_mount() until they are there. */
#include "image/pull.h"
#include "image/snapshot.h"

__attribute__((weak))
const char *const pull_policy_names[PULL_POLICY_MAX + 1] = { "always", "missing", "newer", "never",
                                                             NULL };

__attribute__((weak)) int image_pull(struct store *s, struct arena *a, const char *text,
                                     const struct pull_options *o, const struct watcher *w,
                                     const struct log *log, struct image *ret, bool *ret_changed,
                                     struct err *e)
{
        return err_set(e, ERR_UNSUPPORTED, "pulling images is not built yet");
}

__attribute__((weak)) int snapshot_mount(struct store *s, const struct snapshot *n, int *ret_mount,
                                         struct err *e)
{
        return err_set(e, ERR_UNSUPPORTED, "mounting images is not built yet");
}
