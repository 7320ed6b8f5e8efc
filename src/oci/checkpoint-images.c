#include "oci/checkpoint-images.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "codec/json.h"

#define DESCRIPTORS "descriptors.json"
#define DESCRIPTORS_MAX 65536u
#define CONFIG "/etc/criu/berth.conf"
#define CONFIG_RUNC "/etc/criu/runc.conf"

static int open_dir(const char *what, const char *path, struct err *e)
{
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 ? err_sys(e, errno, "%s: cannot open directory \"%s\"", what, path) : fd;
}

static int make_dirs(const char *path, struct err *e)
{
        AUTO_FREE char *copy = mem_strdup(path);

        for (char *at = copy + 1; *copy && *at; at++) {
                if (*at != '/')
                        continue;
                *at = 0;
                mkdir(copy, 0755);
                *at = '/';
        }
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                return err_sys(e, errno, "cannot make directory \"%s\"", path);
        return 0;
}

int checkpoint_images_open(const char *image_path, const char *work_path, bool make,
                           struct checkpoint_images *ret, struct err *e)
{
        const char *images = str_empty(image_path) ? "checkpoint" : image_path;
        const char *work = str_empty(work_path) ? images : work_path;

        if (make && make_dirs(images, e) < 0)
                return err_in(e, "--image-path");
        if (!str_empty(work_path) && mkdir(work, 0700) < 0 && errno != EEXIST)
                return err_sys(e, errno, "--work-path: cannot make directory \"%s\"", work);
        ret->images = open_dir("--image-path", images, e);
        ret->work = ret->images < 0 ? -1 : open_dir("--work-path", work, e);
        ret->work_path = work;
        return ret->work < 0 ? -1 : 0;
}

void checkpoint_images_done(struct checkpoint_images *i)
{
        i->images = fd_close(i->images);
        i->work = fd_close(i->work);
}

/* CRIU lets the settings of a file win over ours: the one that the annotation names; none where
 * that is empty; by default the host's. CRIU passes over a file that is missing. */
static const char *config_file(const struct spec *s)
{
        const char *file = spec_annotation(s, "org.criu.config");

        if (file)
                return *file ? file : NULL;
        return access(CONFIG, F_OK) == 0 ? CONFIG : CONFIG_RUNC;
}

void checkpoint_common(const struct checkpoint_images *i, const struct spec *s,
                       const char *log_name, struct criu_opts *o, struct criu *c)
{
        o->images_dir_fd = i->images;
        o->work_dir_fd = i->work;
        o->log_file = log_name;
        o->log_level = 4;
        o->notify_scripts = true;
        o->manage_cgroups = true;
        o->orphan_pts_master = true;
        o->config_file = config_file(s);
        c->log_dir = i->work;
        c->log_dir_path = i->work_path;
        c->log_name = log_name;
        /* What an earlier run left would be taken for this one's. */
        unlinkat(i->work, log_name, 0);
}

/* ---- descriptors.json ---- */

int checkpoint_descriptors_write(int images, const char *const names[3], struct err *e)
{
        AUTO_BUF text = { 0 };
        struct json_writer w = { .out = &text, .fresh = true };
        int r;

        json_open(&w, NULL, '[');
        for (int i = 0; i < 3; i++)
                json_put_str(&w, NULL, names[i] ? names[i] : "");
        json_close(&w, ']');
        r = fd_replace_at(images, DESCRIPTORS, text.s, text.len, 0600, 0);
        return r < 0 ? err_sys(e, r, "cannot write \"" DESCRIPTORS "\"") : 0;
}

int checkpoint_descriptors_read(struct arena *a, int images, const char *names[3], struct err *e)
{
        AUTO_FREE char *text = NULL;
        struct json_error je;
        struct json j;
        size_t n;
        int r = fd_read_file_at(images, DESCRIPTORS, DESCRIPTORS_MAX, &text, &n);

        if (r < 0)
                return err_sys(e, r, "cannot read \"" DESCRIPTORS "\" of the checkpoint");
        if (json_parse(a, text, n, NULL, &j, &je) < 0)
                return err_set(e, ERR_INVALID, "\"" DESCRIPTORS "\" of the checkpoint: %s",
                               je.what);
        for (uint32_t i = 0; i < 3; i++) {
                bool there = j.type == JSON_ARRAY && i < j.n;

                names[i] = there ? json_str(&j.items[i], NULL) : NULL;
        }
        return 0;
}
