#include "cli/prompt.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"
#include "image/registry-config.h"

#define INPUT_MAX 65536

static void interrupted(int sig)
{
        /* that read() returns is all that is wanted */
}

/* The signals that would leave the terminal without echo end the read instead. */
static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };

static void catch (struct sigaction *before)
{
        struct sigaction action = { .sa_handler = interrupted };

        for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
                sigaction(signals[i], &action, &before[i]);
}

static void release(const struct sigaction *before)
{
        for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
                sigaction(signals[i], &before[i], NULL);
}

static int read_line(char *line, size_t cap)
{
        size_t n = 0;

        while (n + 1 < cap) {
                ssize_t r = read(STDIN_FILENO, line + n, 1);

                if (r < 0)
                        return -errno;
                if (r == 0 && n == 0)
                        return -ENODATA;
                if (r == 0 || line[n] == '\n')
                        break;
                n++;
        }
        line[n] = 0;
        return 0;
}

int prompt(struct arena *a, const char *question, bool secret, const char **ret, struct err *e)
{
        struct sigaction before[ARRAY_SIZE(signals)];
        struct termios shown, hidden;
        char line[1024];
        int r;

        fd_write_all(STDERR_FILENO, question, strlen(question));
        if (secret) {
                if (tcgetattr(STDIN_FILENO, &shown) < 0)
                        return err_sys(e, errno, "cannot read a password from the terminal");
                hidden = shown;
                hidden.c_lflag &= ~(tcflag_t)ECHO;
                catch (before);
                tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
        }
        r = read_line(line, sizeof line);
        if (secret) {
                tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
                release(before);
                fd_write_all(STDERR_FILENO, "\n", 1);
        }
        if (r < 0)
                return err_set(e, ERR_STATE, r == -ENODATA ? "nothing was typed" : "interrupted");
        *ret = arena_strdup(a, line);
        explicit_bzero(line, sizeof line);
        return 0;
}

int prompt_stdin(struct arena *a, const char **ret, struct err *e)
{
        char *text = arena_alloc(a, INPUT_MAX);
        ssize_t n = fd_read_text(STDIN_FILENO, text, INPUT_MAX);

        if (n < 0)
                return err_sys(e, (int)n, "cannot read standard input");
        if (n > 0 && text[n - 1] == '\n')
                text[--n] = 0;
        if (n > 0 && text[n - 1] == '\r')
                text[--n] = 0;
        *ret = text;
        return 0;
}

/* ---- short names ---- */

static int ask_short_name(const char *name, const struct short_name *s, size_t *ret, struct err *e)
{
        AUTO_ARENA a = { 0 };
        AUTO_BUF list = { 0 };
        const char *answer;
        uint64_t n = 1;

        buf_printf(&list, "\"%s\" may be any of these:\n", name);
        for (size_t i = 0; i < s->n; i++)
                buf_printf(&list, "  %zu  %s\n", i + 1, reference_str(&a, &s->candidates[i]));
        fd_write_all(STDERR_FILENO, list.s, list.len);
        if (prompt(&a, arena_printf(&a, "Which one, 1 to %zu? [1] ", s->n), false, &answer, e) < 0)
                return err_in(e, "cannot ask which image \"%s\" is", name);
        if (*answer && (str_to_u64(answer, &n) < 0 || n < 1 || n > s->n))
                return err_set(e, ERR_INVALID, "\"%.40s\" is none of 1 to %zu", answer, s->n);
        *ret = n - 1;
        return 0;
}

const struct short_name_asker *prompt_short_name(void)
{
        static const struct short_name_asker asker = { ask_short_name };

        return isatty(STDIN_FILENO) && isatty(STDERR_FILENO) ? &asker : NULL;
}
