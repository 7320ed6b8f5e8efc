/* config.json: what is read, what is refused, and how the refusal names the field. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/str.h"
#include "oci/spec-decode.h"
#include "oci/spec.h"

#define EVERY_NS                                                                                   \
        "\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"network\"},{\"type\":\"ipc\"},"            \
        "{\"type\":\"uts\"},{\"type\":\"mount\"},{\"type\":\"cgroup\"},{\"type\":\"time\"}]"
#define NO_NS "\"namespaces\":[]"
#define PROCESS "\"cwd\":\"/\",\"args\":[\"sh\"]"

/* One line of JSON goes into one of four places of a minimal document. */
enum place { TOP, PROC, LINUX, BARE, PLACE_MAX };

static const char *const before[PLACE_MAX] = {
        [TOP] = "{\"root\":{\"path\":\"r\"},\"linux\":{" EVERY_NS "},\"process\":{" PROCESS "},",
        [PROC] = "{\"root\":{\"path\":\"r\"},\"process\":{" PROCESS ",",
        [LINUX] = "{\"root\":{\"path\":\"r\"},\"process\":{" PROCESS "},\"linux\":{" EVERY_NS ",",
        [BARE] = "{\"root\":{\"path\":\"r\"},\"process\":{" PROCESS "},\"linux\":{",
};
static const char *const after[PLACE_MAX] = {
        [TOP] = "}",
        [PROC] = "}}",
        [LINUX] = "}}",
        [BARE] = "}}",
};

static int parse_at(struct arena *a, enum place place, const char *line, struct spec *ret,
                    struct err *e)
{
        const char *text = arena_printf(a, "%s%s%s", before[place], line, after[place]);

        err_clear(e);
        return spec_parse(a, text, strlen(text), ret, e);
}

struct refusal {
        enum place place;
        const char *line, *chain;
};

static void refuse(const struct refusal *r, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                AUTO_ARENA a = { 0 };
                struct spec s;
                struct err e;

                if (parse_at(&a, r[i].place, r[i].line, &s, &e) == 0)
                        fail_msg("accepted: %s", r[i].line);
                if (!str_eq(e.chain, r[i].chain))
                        fail_msg("%s\n  says:     %s\n  expected: %s", r[i].line, e.chain,
                                 r[i].chain);
                assert_int_equal(e.code, ERR_INVALID);
        }
}
#define REFUSE(table) refuse((table), ARRAY_SIZE(table))

struct acceptance {
        enum place place;
        const char *line;
};

static void accept_all(const struct acceptance *t, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                AUTO_ARENA a = { 0 };
                struct spec s;
                struct err e;

                if (parse_at(&a, t[i].place, t[i].line, &s, &e) < 0)
                        fail_msg("refused: %s\n  %s", t[i].line, e.chain);
        }
}
#define ACCEPT(table) accept_all((table), ARRAY_SIZE(table))

/* ---- types ---- */

static void test_types(void **state)
{
        static const struct refusal cases[] = {
                { LINUX, "\"resources\":{\"memory\":{\"limit\":\"x\"}}",
                  "linux.resources.memory.limit: expected an integer, found \"x\"" },
                { LINUX, "\"resources\":{\"memory\":{\"limit\":1.5}}",
                  "linux.resources.memory.limit: expected an integer, found 1.5" },
                { LINUX, "\"resources\":{\"memory\":{\"limit\":1.0}}",
                  "linux.resources.memory.limit: expected an integer, found 1.0" },
                { LINUX, "\"resources\":{\"memory\":{\"limit\":1e30}}",
                  "linux.resources.memory.limit: expected an integer, found 1e+30" },
                { LINUX, "\"resources\":{\"memory\":{\"limit\":9223372036854775808}}",
                  "linux.resources.memory.limit: expected an integer from -1 to "
                  "9223372036854775807, found 9223372036854775808" },
                { LINUX, "\"resources\":{\"memory\":{\"limit\":-2}}",
                  "linux.resources.memory.limit: expected an integer from -1 to "
                  "9223372036854775807, found -2" },
                { LINUX, "\"resources\":{\"memory\":[]}",
                  "linux.resources.memory: expected an object, found an array" },
                { LINUX, "\"resources\":{\"cpu\":{\"shares\":-1}}",
                  "linux.resources.cpu.shares: expected an integer from 0 to 18446744073709551615, "
                  "found -1" },
                { LINUX, "\"resources\":{\"blockIO\":{\"weight\":65536}}",
                  "linux.resources.blockIO.weight: expected an integer from 0 to 65535, found "
                  "65536" },
                { LINUX, "\"resources\":{\"memory\":{\"disableOOMKiller\":1}}",
                  "linux.resources.memory.disableOOMKiller: expected true or false, found 1" },
                { LINUX, "\"resources\":{\"rdma\":{\"mlx\":{\"hcaHandles\":\"many\"}}}",
                  "linux.resources.rdma[\"mlx\"].hcaHandles: expected an integer, found \"many\"" },
                { TOP, "\"mounts\":{}", "mounts: expected an array of objects, found an object" },
                { TOP, "\"mounts\":[{\"destination\":\"/a\"},{\"destination\":7}]",
                  "mounts[1].destination: expected a string, found 7" },
                { TOP, "\"mounts\":[{\"destination\":\"/a\",\"options\":[\"ro\",true]}]",
                  "mounts[0].options[1]: expected a string, found true" },
                { TOP, "\"mounts\":[3]", "mounts[0]: expected an object, found 3" },
                { TOP, "\"mounts\":[null]", "mounts[0].destination: required, but missing" },
                { TOP, "\"mounts\":[{\"destination\":\"\"}]",
                  "mounts[0].destination: required, but empty" },
                { TOP, "\"mounts\":[{\"destination\":\"/a\\u0000/b\"}]",
                  "mounts[0].destination: holds a null byte" },
                { TOP, "\"annotations\":{\"a.b\":1}",
                  "annotations[\"a.b\"]: expected a string, found 1" },
                { TOP, "\"annotations\":{\"a\\nb\":{}}",
                  "annotations[\"a?b\"]: expected a string, found an object" },
                { TOP, "\"hostname\":false", "hostname: expected a string, found false" },
                { TOP, "\"ociVersion\":1", "ociVersion: expected a string, found 1" },
                { PROC, "\"terminal\":\"yes\"",
                  "process.terminal: expected true or false, found \"yes\"" },
                { PROC, "\"user\":{\"uid\":-1}",
                  "process.user.uid: expected an integer from 0 to 4294967294, found -1" },
                { PROC, "\"user\":{\"uid\":4294967295}",
                  "process.user.uid: expected an integer from 0 to 4294967294, found 4294967295" },
                { PROC, "\"user\":{\"additionalGids\":[1,\"2\"]}",
                  "process.user.additionalGids[1]: expected an integer, found \"2\"" },
                { PROC, "\"env\":\"A=b\"",
                  "process.env: expected an array of strings, found \"A=b\"" },
                { PROC, "\"consoleSize\":{\"height\":65536}",
                  "process.consoleSize.height: expected an integer from 0 to 65535, found 65536" },
                { PROC, "\"oomScoreAdj\":1001",
                  "process.oomScoreAdj: expected an integer from -1000 to 1000, found 1001" },
        };

        REFUSE(cases);
}

static void test_long_values_are_cut(void **state)
{
        AUTO_ARENA a = { 0 };
        AUTO_BUF b = { 0 };
        struct spec s;
        struct err e;

        buf_puts(&b, "\"hostname\":[],\"annotations\":{\"");
        for (int i = 0; i < 500; i++)
                buf_puts(&b, "\xc3\xa9");
        buf_puts(&b, "\":{}}");
        assert_int_equal(parse_at(&a, TOP, b.s + strlen("\"hostname\":[],"), &s, &e), -1);
        assert_true(strlen(e.chain) < 150);
        assert_non_null(strstr(e.chain, "\xc3\xa9...\"]: expected a string, found an object"));
}

/* ---- process ---- */

static void test_process(void **state)
{
        static const struct refusal cases[] = {
                { PROC, "\"env\":[\"A=b\",\"nosign\"]",
                  "process.env[1]: expected NAME=value, found \"nosign\"" },
                { PROC, "\"env\":[\"=b\"]", "process.env[0]: expected NAME=value, found \"=b\"" },
                { PROC, "\"rlimits\":[{\"type\":\"RLIMIT_FOO\",\"soft\":1,\"hard\":1}]",
                  "process.rlimits[0].type: unknown value \"RLIMIT_FOO\"" },
                { PROC, "\"rlimits\":[{\"soft\":1,\"hard\":1}]",
                  "process.rlimits[0].type: required, but missing" },
                { PROC,
                  "\"rlimits\":[{\"type\":\"RLIMIT_CORE\",\"soft\":1,\"hard\":1},"
                  "{\"type\":\"RLIMIT_NOFILE\",\"soft\":1,\"hard\":1},"
                  "{\"type\":\"RLIMIT_CORE\",\"soft\":1,\"hard\":1}]",
                  "process.rlimits[2].type: a second limit of type RLIMIT_CORE" },
                { PROC, "\"rlimits\":[{\"type\":\"RLIMIT_CORE\",\"soft\":2,\"hard\":1}]",
                  "process.rlimits[0].soft: 2 is above the hard limit 1" },
                { PROC, "\"scheduler\":{}", "process.scheduler.policy: required, but missing" },
                { PROC, "\"scheduler\":{\"policy\":\"SCHED_FAST\"}",
                  "process.scheduler.policy: unknown value \"SCHED_FAST\"" },
                { PROC, "\"scheduler\":{\"policy\":\"SCHED_OTHER\",\"flags\":[\"SCHED_FLAG_X\"]}",
                  "process.scheduler.flags[0]: unknown value \"SCHED_FLAG_X\"" },
                { PROC, "\"scheduler\":{\"policy\":\"SCHED_OTHER\",\"nice\":20}",
                  "process.scheduler.nice: expected an integer from -20 to 19, found 20" },
                { PROC, "\"scheduler\":{\"policy\":\"SCHED_BATCH\",\"nice\":-21}",
                  "process.scheduler.nice: expected an integer from -20 to 19, found -21" },
                { PROC, "\"scheduler\":{\"policy\":\"SCHED_OTHER\",\"priority\":1}",
                  "process.scheduler.priority: only SCHED_FIFO and SCHED_RR have one" },
                { PROC, "\"scheduler\":{\"policy\":\"SCHED_FIFO\",\"priority\":100}",
                  "process.scheduler.priority: expected an integer from 1 to 99, found 100" },
                { PROC, "\"scheduler\":{\"policy\":\"SCHED_RR\"}",
                  "process.scheduler.priority: expected an integer from 1 to 99, found 0" },
                { PROC, "\"scheduler\":{\"policy\":\"SCHED_IDLE\",\"deadline\":1}",
                  "process.scheduler.deadline: only SCHED_DEADLINE has one" },
                { PROC, "\"scheduler\":{\"policy\":\"SCHED_DEADLINE\",\"deadline\":9}",
                  "process.scheduler.runtime: SCHED_DEADLINE requires it to be above 0" },
                { PROC, "\"scheduler\":{\"policy\":\"SCHED_DEADLINE\",\"runtime\":9}",
                  "process.scheduler.deadline: SCHED_DEADLINE requires it to be above 0" },
                { PROC,
                  "\"scheduler\":{\"policy\":\"SCHED_DEADLINE\",\"runtime\":9,\"deadline\":8}",
                  "process.scheduler.runtime: 9 is above the deadline 8" },
                { PROC,
                  "\"scheduler\":{\"policy\":\"SCHED_DEADLINE\",\"runtime\":7,\"deadline\":8,"
                  "\"period\":7}",
                  "process.scheduler.deadline: 8 is above the period 7" },
                { PROC, "\"ioPriority\":{\"priority\":4}",
                  "process.ioPriority.class: required, but missing" },
                { PROC, "\"ioPriority\":{\"class\":\"IOPRIO_CLASS_NONE\",\"priority\":4}",
                  "process.ioPriority.class: unknown value \"IOPRIO_CLASS_NONE\"" },
                { PROC, "\"ioPriority\":{\"class\":\"IOPRIO_CLASS_BE\",\"priority\":8}",
                  "process.ioPriority.priority: expected an integer from 0 to 7, found 8" },
                { PROC, "\"execCPUAffinity\":{\"initial\":\"0-\"}",
                  "process.execCPUAffinity.initial: expected a list of CPUs such as 0-3,7, found "
                  "\"0-\"" },
                { PROC, "\"execCPUAffinity\":{\"final\":\"3-1\"}",
                  "process.execCPUAffinity.final: expected a list of CPUs such as 0-3,7, found "
                  "\"3-1\"" },
                { PROC, "\"execCPUAffinity\":{\"final\":\",\"}",
                  "process.execCPUAffinity.final: expected a list of CPUs such as 0-3,7, found "
                  "\",\"" },
                { PROC, "\"execCPUAffinity\":{\"final\":\"0-99999\"}",
                  "process.execCPUAffinity.final: \"0-99999\" goes beyond CPU 8191" },
        };
        static const struct acceptance fine[] = {
                { PROC, "\"env\":[\"A=\",\"B=c=d\"]" },
                { PROC, "\"capabilities\":{\"bounding\":[\"CAP_NOBODY_KNOWS\"]}" },
                { PROC, "\"user\":{}" },
                { PROC, "\"user\":null,\"rlimits\":null,\"capabilities\":null" },
                { PROC, "\"rlimits\":[{\"type\":\"RLIMIT_CORE\",\"soft\":18446744073709551615,"
                        "\"hard\":18446744073709551615}]" },
                { PROC, "\"scheduler\":{\"policy\":\"SCHED_RR\",\"priority\":99}" },
                { PROC, "\"scheduler\":{\"policy\":\"SCHED_DEADLINE\",\"runtime\":7,"
                        "\"deadline\":8,\"flags\":[\"SCHED_FLAG_DL_OVERRUN\"]}" },
                { PROC, "\"scheduler\":{\"policy\":\"SCHED_DEADLINE\","
                        "\"flags\":[\"SCHED_FLAG_KEEP_PARAMS\"]}" },
                { PROC, "\"execCPUAffinity\":{\"initial\":\"\",\"final\":\"0-3, 7\"}" },
                { PROC, "\"apparmorProfile\":\"\",\"selinuxLabel\":\"\"" },
                { PROC, "\"somethingNew\":{\"deeply\":[{}]}" },
        };

        REFUSE(cases);
        ACCEPT(fine);
}

static void test_command(void **state)
{
        static const struct {
                const char *text, *chain;
        } cases[] = {
                { "{\"args\":[\"sh\"]}", "process.cwd: required, but missing" },
                { "{\"cwd\":\"\",\"args\":[\"sh\"]}", "process.cwd: required, but empty" },
                { "{\"cwd\":\"tmp\",\"args\":[\"sh\"]}",
                  "process.cwd: expected an absolute path, found \"tmp\"" },
                { "{\"cwd\":\"/\"}", "process.args: at least one string is required" },
                { "{\"cwd\":\"/\",\"args\":[]}", "process.args: at least one string is required" },
                { "{\"cwd\":\"/\",\"args\":[null]}",
                  "process.args[0]: expected a string, found null" },
                { "[]", "expected an object, found array" },
                { "null", "expected an object, found null" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                AUTO_ARENA a = { 0 };
                struct spec_process p;
                struct err e = { 0 };

                assert_int_equal(
                        spec_parse_process(&a, cases[i].text, strlen(cases[i].text), &p, &e), -1);
                assert_string_equal(e.chain, cases[i].chain);
        }
}

/* ---- the top level ---- */

static void test_top(void **state)
{
        static const struct refusal cases[] = {
                { TOP, "\"hooks\":{\"prestart\":[{\"path\":\"bin/x\"}]}",
                  "hooks.prestart[0].path: expected an absolute path, found \"bin/x\"" },
                { TOP, "\"hooks\":{\"poststop\":[{\"path\":\"/x\"},{}]}",
                  "hooks.poststop[1].path: required, but missing" },
                { TOP, "\"hooks\":{\"createRuntime\":[{\"path\":\"/x\",\"timeout\":0}]}",
                  "hooks.createRuntime[0].timeout: expected an integer from 1 to 2147483647, found "
                  "0" },
                { TOP, "\"annotations\":{\"\":\"x\"}", "annotations: a key is empty" },
                { BARE, NO_NS "},\"hostname\":\"h\",\"x\":{",
                  "hostname: needs a uts namespace in linux.namespaces" },
                { BARE, NO_NS "},\"domainname\":\"h\",\"x\":{",
                  "domainname: needs a uts namespace in linux.namespaces" },
                { TOP,
                  "\"hostname\":"
                  "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
                  "hostname: \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\" "
                  "is longer than 64 bytes" },
        };
        static const struct acceptance fine[] = {
                { TOP,
                  "\"hooks\":{\"prestart\":[],\"poststart\":[{\"path\":\"/x\",\"args\":[\"x\"],"
                  "\"env\":[\"A=b\"],\"timeout\":3}]}" },
                { TOP, "\"ociVersion\":\"99.0.0-rc.1\"" },
                { TOP, "\"hostname\":\"\",\"windows\":{\"x\":1},\"solaris\":null" },
                { TOP, "\"mounts\":[{\"destination\":\"relative\"}]" },
                { TOP, "\"annotations\":{\"k\":\"\"}" },
        };

        REFUSE(cases);
        ACCEPT(fine);
}

static void test_root_and_process(void **state)
{
        static const char without_root[] = "{\"process\":{" PROCESS "}}";
        static const char without_path[] = "{\"root\":{},\"process\":{" PROCESS "}}";
        static const char without_process[] = "{\"root\":{\"path\":\"r\"}}";
        AUTO_ARENA a = { 0 };
        struct spec s;
        struct err e = { 0 };

        assert_int_equal(spec_parse(&a, without_root, sizeof without_root - 1, &s, &e), -1);
        assert_string_equal(e.chain, "root: required, but missing");
        assert_int_equal(spec_parse(&a, without_path, sizeof without_path - 1, &s, &e), -1);
        assert_string_equal(e.chain, "root.path: required, but missing");
        assert_int_equal(spec_parse(&a, without_process, sizeof without_process - 1, &s, &e), 0);
        assert_null(s.process);
}

/* ---- namespaces, mappings, mounts ---- */

static void test_namespaces(void **state)
{
        static const struct refusal cases[] = {
                { BARE, "\"namespaces\":{}",
                  "linux.namespaces: expected an array of objects, found an object" },
                { BARE, "\"namespaces\":[{\"type\":\"net\"}]",
                  "linux.namespaces[0].type: unknown namespace \"net\"" },
                { BARE, "\"namespaces\":[{\"path\":\"/x\"}]",
                  "linux.namespaces[0].type: required, but missing" },
                { BARE, "\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"uts\"},{\"type\":\"pid\"}]",
                  "linux.namespaces[2].type: a second namespace of type \"pid\"" },
                { BARE, "\"namespaces\":[{\"type\":\"pid\",\"path\":\"proc/1/ns/pid\"}]",
                  "linux.namespaces: expected an absolute path for the pid namespace, found "
                  "\"proc/1/ns/pid\"" },
                { BARE, "\"timeOffsets\":{\"monotonic\":{\"secs\":1}}",
                  "linux.timeOffsets: needs a time namespace in linux.namespaces" },
                { BARE,
                  "\"namespaces\":[{\"type\":\"time\",\"path\":\"/t\"}],"
                  "\"timeOffsets\":{\"boottime\":{\"secs\":1}}",
                  "linux.timeOffsets: can't be set for a time namespace that is joined" },
                { LINUX, "\"timeOffsets\":{\"realtime\":{\"secs\":1}}",
                  "linux.timeOffsets[\"realtime\"]: unknown clock: expected monotonic or "
                  "boottime" },
                { LINUX, "\"timeOffsets\":{\"boottime\":{\"nanosecs\":1000000000}}",
                  "linux.timeOffsets[\"boottime\"].nanosecs: expected an integer from 0 to "
                  "999999999, found 1000000000" },
                { BARE, "\"maskedPaths\":[\"/proc/kcore\"]",
                  "linux.maskedPaths: needs a mount namespace in linux.namespaces" },
                { LINUX, "\"maskedPaths\":[\"/proc/kcore\",\"proc/keys\"]",
                  "linux.maskedPaths[1]: expected an absolute path, found \"proc/keys\"" },
                { LINUX, "\"readonlyPaths\":[\"\"]",
                  "linux.readonlyPaths[0]: expected an absolute path, found \"\"" },
                { LINUX, "\"rootfsPropagation\":\"ro\"",
                  "linux.rootfsPropagation: expected shared, slave, private or unbindable, found "
                  "\"ro\"" },
                { LINUX, "\"rootfsPropagation\":\"public\"",
                  "linux.rootfsPropagation: expected shared, slave, private or unbindable, found "
                  "\"public\"" },
        };
        static const struct acceptance fine[] = {
                { BARE, "\"namespaces\":null" },
                { BARE, "\"namespaces\":[{\"type\":\"network\",\"path\":\"/run/netns/x\"},"
                        "{\"type\":\"pid\",\"path\":\"\"}]" },
                { LINUX, "\"timeOffsets\":{\"boottime\":{\"secs\":-5,\"nanosecs\":999999999}}" },
                { LINUX, "\"timeOffsets\":{}" },
                { LINUX, "\"rootfsPropagation\":\"rslave\"" },
                { LINUX, "\"rootfsPropagation\":\"unbindable\"" },
                { LINUX, "\"maskedPaths\":[\"/proc/kcore\"],\"readonlyPaths\":[]" },
        };

        REFUSE(cases);
        ACCEPT(fine);
}

#define USER_NS "\"namespaces\":[{\"type\":\"user\"}],"
#define MAP(c, h, n) "{\"containerID\":" #c ",\"hostID\":" #h ",\"size\":" #n "}"

static void test_id_mappings(void **state)
{
        static const struct refusal cases[] = {
                { LINUX, "\"uidMappings\":[" MAP(0, 1, 1) "]",
                  "linux.uidMappings: needs a user namespace in linux.namespaces" },
                { LINUX, "\"gidMappings\":[" MAP(0, 1, 1) "]",
                  "linux.gidMappings: needs a user namespace in linux.namespaces" },
                { BARE, "\"namespaces\":[{\"type\":\"user\"}]",
                  "linux.uidMappings: required for a new user namespace, but missing" },
                { BARE, USER_NS "\"uidMappings\":[" MAP(0, 1, 1) "]",
                  "linux.gidMappings: required for a new user namespace, but missing" },
                { BARE, USER_NS "\"uidMappings\":[" MAP(0, 1, 0) "]",
                  "linux.uidMappings[0].size: must be above 0" },
                { BARE, USER_NS "\"uidMappings\":[" MAP(1, 1, 4294967295) "]",
                  "linux.uidMappings[0].size: goes beyond the last id" },
                { BARE, USER_NS "\"uidMappings\":[" MAP(0, 4294967295, 1) "]",
                  "linux.uidMappings[0].size: goes beyond the last id" },
                { BARE, USER_NS "\"uidMappings\":[" MAP(0, 100, 10) "," MAP(9, 200, 1) "]",
                  "linux.uidMappings[1]: overlaps linux.uidMappings[0]" },
                { BARE, USER_NS "\"uidMappings\":[" MAP(0, 100, 10) "," MAP(10, 95, 6) "]",
                  "linux.uidMappings[1]: overlaps linux.uidMappings[0]" },
                { BARE, USER_NS "\"uidMappings\":[" MAP(1, 100, 10) "]",
                  "linux.uidMappings: id 0 of the container is not mapped" },
                { BARE, USER_NS "\"uidMappings\":[" MAP(0, 100, 4294967296) "]",
                  "linux.uidMappings[0].size: expected an integer from 0 to 4294967295, found "
                  "4294967296" },
                { TOP,
                  "\"mounts\":[{\"destination\":\"/"
                  "d\",\"options\":[\"bind\"],\"uidMappings\":[" MAP(0, 1, 1) "]}]",
                  "mounts[0].gidMappings: required with uidMappings, but missing" },
                { TOP, "\"mounts\":[{\"destination\":\"/d\",\"options\":[\"rbind\",\"ridmap\"]}]",
                  "mounts[0].uidMappings: required for idmap without a user namespace, but "
                  "missing" },
                { TOP, "\"mounts\":[{\"destination\":\"/d\",\"options\":[\"idmap\"]}]",
                  "mounts[0]: id-mapped mounts are only supported for bind-mounts" },
                { TOP,
                  "\"mounts\":[{\"destination\":\"/"
                  "d\",\"options\":[\"bind\"],\"uidMappings\":[" MAP(
                          5, 1, 1) "],\"gidMappings\":[" MAP(5, 1, 0) "]}]",
                  "mounts[0].gidMappings[0].size: must be above 0" },
        };
        static const struct acceptance fine[] = {
                { BARE, USER_NS "\"uidMappings\":[" MAP(0, 0, 4294967295) "],\"gidMappings\":[" MAP(
                                0, 100, 10) "," MAP(10, 110, 10) "]" },
                { BARE, "\"namespaces\":[{\"type\":\"user\",\"path\":\"/u\"}]" },
                { BARE,
                  "\"namespaces\":[{\"type\":\"user\",\"path\":\"/u\"}],\"uidMappings\":[" MAP(
                          0, 1, 1) "]" },
                { BARE, USER_NS "\"uidMappings\":[" MAP(0, 1, 1) "],\"gidMappings\":[" MAP(
                                0, 1, 1) "]},\"mounts\":[{\"destination\":\"/d\",\"options\":"
                                         "[\"bind\",\"idmap\"]}],\"x\":{" },
                { TOP, "\"mounts\":[{\"destination\":\"/d\",\"options\":[\"bind\",\"idmap\"],"
                       "\"uidMappings\":[" MAP(5, 1, 1) "],\"gidMappings\":[" MAP(5, 1, 1) "]}]" },
        };

        REFUSE(cases);
        ACCEPT(fine);
}

static void test_many_id_mappings(void **state)
{
        AUTO_ARENA a = { 0 };
        AUTO_BUF b = { 0 };
        struct spec s;
        struct err e;

        buf_puts(&b, USER_NS "\"uidMappings\":[" MAP(0, 0, 1));
        for (int i = 1; i < 341; i++)
                buf_printf(&b, ",{\"containerID\":%d,\"hostID\":%d,\"size\":1}", i, i);
        buf_puts(&b, "]");
        assert_int_equal(parse_at(&a, BARE, b.s, &s, &e), -1);
        assert_string_equal(e.chain,
                            "linux.uidMappings: 341 entries are more than the kernel's 340");
}

/* ---- devices, resources ---- */

static void test_devices(void **state)
{
        static const struct refusal cases[] = {
                { LINUX, "\"devices\":[{\"type\":\"c\",\"major\":1,\"minor\":3}]",
                  "linux.devices[0].path: required, but missing" },
                { LINUX, "\"devices\":[{\"path\":\"/dev/x\",\"major\":1,\"minor\":3}]",
                  "linux.devices[0].type: required, but missing" },
                { LINUX,
                  "\"devices\":[{\"path\":\"/dev/x\",\"type\":\"a\",\"major\":1,\"minor\":3}]",
                  "linux.devices[0].type: unknown type \"a\"" },
                { LINUX, "\"devices\":[{\"path\":\"/dev/x\",\"type\":\"cc\"}]",
                  "linux.devices[0].type: unknown type \"cc\"" },
                { LINUX, "\"devices\":[{\"path\":\"/dev/x\",\"type\":\"c\",\"minor\":3}]",
                  "linux.devices[0].major: required for a device of type c" },
                { LINUX, "\"devices\":[{\"path\":\"/dev/x\",\"type\":\"u\",\"major\":3}]",
                  "linux.devices[0].minor: required for a device of type u" },
                { LINUX, "\"netDevices\":{\"a/b\":{}}",
                  "linux.netDevices[\"a/b\"]: not the name of a network device" },
                { LINUX, "\"netDevices\":{\"eth%d\":{}}",
                  "linux.netDevices[\"eth%d\"]: not the name of a network device" },
                { LINUX, "\"netDevices\":{\"eth0\":{\"name\":\"averyveryverylongname\"}}",
                  "linux.netDevices[\"eth0\"].name: \"averyveryverylongname\" can't name a network "
                  "device" },
                { BARE, "\"netDevices\":{\"eth0\":{}}",
                  "linux.netDevices: needs a network namespace in linux.namespaces" },
        };
        static const struct acceptance fine[] = {
                { LINUX, "\"devices\":[{\"path\":\"/dev/x\",\"type\":\"p\"}]" },
                { LINUX, "\"devices\":[{\"path\":\"/dev/x\",\"type\":\"b\",\"major\":0,\"minor\":0,"
                         "\"fileMode\":8630,\"uid\":1,\"gid\":2}]" },
                { LINUX, "\"netDevices\":{\"eth0\":{\"name\":\"c%d\"},\"eth1\":null}" },
        };

        REFUSE(cases);
        ACCEPT(fine);
}

#define RESOURCES(s) LINUX, "\"resources\":{" s "}"

static void test_resources(void **state)
{
        static const struct refusal cases[] = {
                { RESOURCES("\"devices\":[{\"allow\":true,\"access\":\"rx\"}]"),
                  "linux.resources.devices[0].access: expected letters of rwm, found \"rx\"" },
                { RESOURCES("\"devices\":[{\"allow\":true}]"),
                  "linux.resources.devices[0].access: required, but missing" },
                { RESOURCES("\"devices\":[{\"type\":\"p\",\"access\":\"r\"}]"),
                  "linux.resources.devices[0].type: unknown type \"p\"" },
                { RESOURCES("\"memory\":{\"swappiness\":101}"),
                  "linux.resources.memory.swappiness: expected an integer from 0 to 100, found "
                  "101" },
                { RESOURCES("\"cpu\":{\"idle\":2}"),
                  "linux.resources.cpu.idle: expected an integer from 0 to 1, found 2" },
                { RESOURCES("\"cpu\":{\"quota\":5,\"burst\":6}"),
                  "linux.resources.cpu.burst: 6 is above the quota 5" },
                { RESOURCES("\"blockIO\":{\"weightDevice\":[{\"major\":8,\"minor\":0}]}"),
                  "linux.resources.blockIO.weightDevice[0]: weight or leafWeight is required" },
                { RESOURCES("\"blockIO\":{\"throttleReadBpsDevice\":[{\"major\":8,\"minor\":0,"
                            "\"rate\":-1}]}"),
                  "linux.resources.blockIO.throttleReadBpsDevice[0].rate: expected an integer from "
                  "0 to 18446744073709551615, found -1" },
                { RESOURCES("\"hugepageLimits\":[{\"pageSize\":\"2 MB\",\"limit\":1}]"),
                  "linux.resources.hugepageLimits[0].pageSize: expected a size such as 2MB, found "
                  "\"2 MB\"" },
                { RESOURCES("\"hugepageLimits\":[{\"pageSize\":\"MB\",\"limit\":1}]"),
                  "linux.resources.hugepageLimits[0].pageSize: expected a size such as 2MB, found "
                  "\"MB\"" },
                { RESOURCES("\"hugepageLimits\":[{\"pageSize\":\"2\",\"limit\":1}]"),
                  "linux.resources.hugepageLimits[0].pageSize: expected a size such as 2MB, found "
                  "\"2\"" },
                { RESOURCES("\"hugepageLimits\":[{\"limit\":1}]"),
                  "linux.resources.hugepageLimits[0].pageSize: required, but missing" },
                { RESOURCES("\"network\":{\"classID\":4294967296}"),
                  "linux.resources.network.classID: expected an integer from 0 to 4294967295, "
                  "found 4294967296" },
                { RESOURCES("\"network\":{\"priorities\":[{\"priority\":1}]}"),
                  "linux.resources.network.priorities[0].name: required, but missing" },
                { RESOURCES("\"rdma\":{\"mlx5_1\":{}}"),
                  "linux.resources.rdma[\"mlx5_1\"]: hcaHandles or hcaObjects is required" },
                { RESOURCES("\"unified\":{\"../x.y\":\"1\"}"),
                  "linux.resources.unified[\"../x.y\"]: must be a file name (no slashes)" },
                { RESOURCES("\"unified\":{\"memory\":\"1\"}"),
                  "linux.resources.unified[\"memory\"]: must be in the form CONTROLLER.PARAMETER" },
                { RESOURCES("\"unified\":{\"..\":\"1\"}"),
                  "linux.resources.unified[\"..\"]: must be in the form CONTROLLER.PARAMETER" },
                { RESOURCES("\"unified\":{\"memory.max\":1}"),
                  "linux.resources.unified[\"memory.max\"]: expected a string, found 1" },
                { RESOURCES("\"pids\":{\"limit\":\"max\"}"),
                  "linux.resources.pids.limit: expected an integer, found \"max\"" },
        };
        static const struct acceptance fine[] = {
                { RESOURCES("\"devices\":[{\"allow\":false,\"access\":\"rwm\"},{\"allow\":true,"
                            "\"type\":\"c\",\"major\":1,\"minor\":-1,\"access\":\"m\"}]") },
                { RESOURCES("\"memory\":{\"limit\":-1,\"swap\":-1,\"kernel\":0}") },
                { RESOURCES("\"cpu\":{\"quota\":-1,\"burst\":6,\"cpus\":\"0-3\",\"mems\":\"\"}") },
                { RESOURCES("\"hugepageLimits\":[{\"pageSize\":\"1GB\",\"limit\":0}]") },
                { RESOURCES("\"unified\":{\"a.b\":\"\",\"hugetlb.2MB.rsvd.max\":\"1\"}") },
                { RESOURCES("\"pids\":{}") },
                { RESOURCES("\"pids\":{\"limit\":0}") },
        };

        REFUSE(cases);
        ACCEPT(fine);
}

static void test_update_resources(void **state)
{
        static const char good[] = "{\"memory\":{\"limit\":5},\"pids\":{\"limit\":-1}}";
        static const char bad[] = "{\"memory\":{\"limit\":\"5\"}}";
        struct spec_resources r;
        AUTO_ARENA a = { 0 };
        struct err e = { 0 };

        assert_int_equal(spec_parse_resources(&a, good, strlen(good), &r, &e), 0);
        assert_true(r.memory->limit.set);
        assert_int_equal(r.memory->limit.v, 5);
        assert_false(r.memory->swap.set);
        assert_true(r.pids_limit.set);
        assert_int_equal(r.pids_limit.v, -1);
        assert_null(r.cpu);
        assert_int_equal(spec_parse_resources(&a, bad, strlen(bad), &r, &e), -1);
        assert_string_equal(e.chain,
                            "linux.resources.memory.limit: expected an integer, found \"5\"");
        assert_int_equal(r.memory->limit.v, 5); /* untouched */
}

/* ---- the rest of linux ---- */

static void test_linux(void **state)
{
        static const struct refusal cases[] = {
                { LINUX, "\"intelRdt\":{\"closID\":\"a/b\"}",
                  "linux.intelRdt.closID: \"a/b\" can't name a class" },
                { LINUX, "\"intelRdt\":{\"closID\":\"..\"}",
                  "linux.intelRdt.closID: \"..\" can't name a class" },
                { LINUX, "\"intelRdt\":{\"memBwSchema\":\"L3:0=1\"}",
                  "linux.intelRdt.memBwSchema: expected one line beginning with MB:, found "
                  "\"L3:0=1\"" },
                { LINUX, "\"intelRdt\":{\"memBwSchema\":\"MB:0=1\\nL3:0=f\"}",
                  "linux.intelRdt.memBwSchema: expected one line beginning with MB:, found "
                  "\"MB:0=1?L3:0=f\"" },
                { LINUX, "\"intelRdt\":{\"l3CacheSchema\":\"L3:0=1\\n\"}",
                  "linux.intelRdt.l3CacheSchema: holds a newline" },
                { LINUX, "\"intelRdt\":{\"schemata\":[\"L3:0=f\",\"MB:0=1\\n\"]}",
                  "linux.intelRdt.schemata[1]: holds a newline" },
                { LINUX, "\"memoryPolicy\":{}", "linux.memoryPolicy.mode: required, but missing" },
                { LINUX, "\"memoryPolicy\":{\"mode\":\"MPOL_X\"}",
                  "linux.memoryPolicy.mode: unknown value \"MPOL_X\"" },
                { LINUX, "\"memoryPolicy\":{\"mode\":\"MPOL_BIND\"}",
                  "linux.memoryPolicy.nodes: MPOL_BIND requires at least one" },
                { LINUX, "\"memoryPolicy\":{\"mode\":\"MPOL_LOCAL\",\"nodes\":\"0\"}",
                  "linux.memoryPolicy.nodes: MPOL_LOCAL takes none" },
                { LINUX, "\"memoryPolicy\":{\"mode\":\"MPOL_BIND\",\"nodes\":\"a\"}",
                  "linux.memoryPolicy.nodes: expected a list of nodes such as 0-3,7, found \"a\"" },
                { LINUX,
                  "\"memoryPolicy\":{\"mode\":\"MPOL_BIND\",\"nodes\":\"0\",\"flags\":[\"MPOL_F_"
                  "X\"]}",
                  "linux.memoryPolicy.flags[0]: unknown value \"MPOL_F_X\"" },
                { LINUX,
                  "\"memoryPolicy\":{\"mode\":\"MPOL_BIND\",\"nodes\":\"0\",\"flags\":"
                  "[\"MPOL_F_STATIC_NODES\",\"MPOL_F_RELATIVE_NODES\"]}",
                  "linux.memoryPolicy.flags: MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude "
                  "each other" },
                { LINUX, "\"personality\":{}", "linux.personality.domain: required, but missing" },
                { LINUX, "\"personality\":{\"domain\":\"BSD\"}",
                  "linux.personality.domain: unknown value \"BSD\"" },
                { LINUX, "\"personality\":{\"domain\":\"LINUX\",\"flags\":[\"X\"]}",
                  "linux.personality.flags[0]: unknown value \"X\"" },
        };
        static const struct acceptance fine[] = {
                { LINUX, "\"intelRdt\":{}" },
                { LINUX, "\"intelRdt\":{\"closID\":\"/\",\"l3CacheSchema\":\"L3:0=f\","
                         "\"memBwSchema\":\"MB:0=20\",\"schemata\":[\"L2:0=f\"]}" },
                { LINUX, "\"memoryPolicy\":{\"mode\":\"MPOL_DEFAULT\"}" },
                { LINUX,
                  "\"memoryPolicy\":{\"mode\":\"MPOL_WEIGHTED_INTERLEAVE\",\"nodes\":\"0-1\"}" },
                { LINUX, "\"memoryPolicy\":{\"mode\":\"MPOL_PREFERRED\"}" },
                { LINUX, "\"personality\":{\"domain\":\"LINUX32\",\"flags\":[]}" },
                { LINUX, "\"cgroupsPath\":\"system.slice:berth:x\",\"mountLabel\":\"l\"" },
        };

        REFUSE(cases);
        ACCEPT(fine);
}

static void test_sysctl(void **state)
{
        static const struct refusal cases[] = {
                { LINUX, "\"sysctl\":{\"kernel.core_pattern\":\"x\"}",
                  "linux.sysctl[\"kernel.core_pattern\"]: is not in a separate kernel namespace" },
                { LINUX, "\"sysctl\":{\"vm.swappiness\":\"1\"}",
                  "linux.sysctl[\"vm.swappiness\"]: is not in a separate kernel namespace" },
                { LINUX, "\"sysctl\":{\"kernel.hostname\":\"x\"}",
                  "linux.sysctl[\"kernel.hostname\"]: conflicts with the \"hostname\" field" },
                { LINUX, "\"sysctl\":{\"user.max_user_namespaces\":\"1\"}",
                  "linux.sysctl[\"user.max_user_namespaces\"]: not allowed in the host's user "
                  "namespace" },
                { BARE, "\"sysctl\":{\"net.ipv4.ip_forward\":\"1\"}",
                  "linux.sysctl[\"net.ipv4.ip_forward\"]: not allowed in the host's network "
                  "namespace" },
                { BARE, "\"sysctl\":{\"kernel.msgmax\":\"1\"}",
                  "linux.sysctl[\"kernel.msgmax\"]: not allowed in the host's ipc namespace" },
                { BARE, "\"sysctl\":{\"kernel/domainname\":\"1\"}",
                  "linux.sysctl[\"kernel/domainname\"]: not allowed in the host's uts namespace" },
                { BARE, "\"sysctl\":{\"fs.mqueue.msg_max\":\"1\"}",
                  "linux.sysctl[\"fs.mqueue.msg_max\"]: not allowed in the host's ipc namespace" },
                { LINUX, "\"sysctl\":{\"net/../kernel/core_pattern\":\"1\"}",
                  "linux.sysctl[\"net/../kernel/core_pattern\"]: not the name of a parameter" },
                { LINUX, "\"sysctl\":{\"net.//.kernel.core_pattern\":\"1\"}",
                  "linux.sysctl[\"net.//.kernel.core_pattern\"]: not the name of a parameter" },
                { LINUX, "\"sysctl\":{\"net..kernel\":\"1\"}",
                  "linux.sysctl[\"net..kernel\"]: not the name of a parameter" },
                { LINUX, "\"sysctl\":{\"/net/x\":\"1\"}",
                  "linux.sysctl[\"/net/x\"]: not the name of a parameter" },
                { LINUX, "\"sysctl\":{\"net.\":\"1\"}",
                  "linux.sysctl[\"net.\"]: not the name of a parameter" },
                { LINUX, "\"sysctl\":{\"\":\"1\"}",
                  "linux.sysctl[\"\"]: not the name of a parameter" },
                { LINUX, "\"sysctl\":{\"net.x\":1}",
                  "linux.sysctl[\"net.x\"]: expected a string, found 1" },
        };
        static const struct acceptance fine[] = {
                { LINUX,
                  "\"sysctl\":{\"net.ipv4.conf.eth0/100.forwarding\":\"1\","
                  "\"net/ipv4/conf/eth0.100/rp_filter\":\"1\",\"kernel.shm_rmid_forced\":\"1\","
                  "\"kernel.domainname\":\"x\",\"fs.mqueue.msg_max\":\"10\"}" },
        };
        char path[64];

        REFUSE(cases);
        ACCEPT(fine);
        assert_true(spec_sysctl_path("net.ipv4.conf.eth0/100.forwarding", path, sizeof path));
        assert_string_equal(path, "net/ipv4/conf/eth0.100/forwarding");
        assert_true(spec_sysctl_path("net/ipv4/conf/eth0.100/rp_filter", path, sizeof path));
        assert_string_equal(path, "net/ipv4/conf/eth0.100/rp_filter");
        assert_false(spec_sysctl_path("net.ipv4", path, 8));
        assert_true(spec_sysctl_path("net.ipv4", path, 9));
}

#define SECCOMP(s) LINUX, "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\"," s "}"
#define RULES(s) SECCOMP("\"listenerPath\":\"/l\",\"syscalls\":[{" s "}]")

static void test_seccomp(void **state)
{
        static const struct refusal cases[] = {
                { LINUX, "\"seccomp\":{\"syscalls\":[{\"names\":[\"x\"],\"action\":\"y\"}]}",
                  "linux.seccomp.defaultAction: required, but missing" },
                { LINUX, "\"seccomp\":{\"defaultAction\":\"ALLOW\"}",
                  "linux.seccomp.defaultAction: unknown action \"ALLOW\"" },
                { LINUX, "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_KILL\",\"defaultErrnoRet\":1}",
                  "linux.seccomp.defaultAction: takes no errno, but one is given with "
                  "\"SCMP_ACT_KILL\"" },
                { LINUX,
                  "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":65536}",
                  "linux.seccomp.defaultErrnoRet: expected an integer from 0 to 65535, found "
                  "65536" },
                { LINUX, "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_NOTIFY\"}",
                  "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be used as default action" },
                { SECCOMP("\"architectures\":[\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_Z80\"]"),
                  "linux.seccomp.architectures[1]: unknown value \"SCMP_ARCH_Z80\"" },
                { SECCOMP("\"flags\":[\"SECCOMP_FILTER_FLAG_X\"]"),
                  "linux.seccomp.flags[0]: unknown value \"SECCOMP_FILTER_FLAG_X\"" },
                { SECCOMP("\"listenerMetadata\":\"m\""),
                  "linux.seccomp.listenerMetadata: set, but listenerPath is not" },
                { SECCOMP("\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_NOTIFY\"}]"),
                  "linux.seccomp.listenerPath: required for SCMP_ACT_NOTIFY, but missing" },
                { RULES("\"names\":[\"read\",\"write\"],\"action\":\"SCMP_ACT_NOTIFY\""),
                  "linux.seccomp.syscalls[0].action: SCMP_ACT_NOTIFY cannot be used for the write "
                  "syscall" },
                { RULES("\"names\":[\"x\"]"),
                  "linux.seccomp.syscalls[0].action: required, but missing" },
                { RULES("\"names\":[\"x\"],\"action\":\"SCMP_ACT_JUMP\""),
                  "linux.seccomp.syscalls[0].action: unknown action \"SCMP_ACT_JUMP\"" },
                { RULES("\"names\":[\"x\"],\"action\":\"SCMP_ACT_ALLOW\",\"errnoRet\":1"),
                  "linux.seccomp.syscalls[0].action: takes no errno, but one is given with "
                  "\"SCMP_ACT_ALLOW\"" },
                { RULES("\"names\":[\"x\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":4096"),
                  "linux.seccomp.syscalls[0].action: an errno above 4095 is given with "
                  "\"SCMP_ACT_ERRNO\"" },
                { RULES("\"action\":\"SCMP_ACT_ALLOW\""),
                  "linux.seccomp.syscalls[0].names: at least one is required" },
                { RULES("\"names\":[\"\"],\"action\":\"SCMP_ACT_ALLOW\""),
                  "linux.seccomp.syscalls[0].names[0]: is empty" },
                { RULES("\"names\":[\"x\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":6,"
                        "\"op\":\"SCMP_CMP_EQ\"}]"),
                  "linux.seccomp.syscalls[0].args[0].index: expected an integer from 0 to 5, found "
                  "6" },
                { RULES("\"names\":[\"x\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,"
                        "\"op\":\"SCMP_CMP_IS\"}]"),
                  "linux.seccomp.syscalls[0].args[0].op: unknown operator \"SCMP_CMP_IS\"" },
        };
        static const struct acceptance fine[] = {
                { SECCOMP("\"syscalls\":null") },
                { SECCOMP("\"syscalls\":[{\"names\":[\"nobody_knows\"],\"action\":"
                          "\"SCMP_ACT_ERRNO\",\"errnoRet\":38}]") },
                { RULES("\"names\":[\"read\"],\"action\":\"SCMP_ACT_NOTIFY\",\"args\":[{\"index\":"
                        "5,"
                        "\"value\":18446744073709551615,\"valueTwo\":1,\"op\":\"SCMP_CMP_MASKED_"
                        "EQ\"}]") },
                { SECCOMP("\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\"],\"architectures\":"
                          "[\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X32\"]") },
        };
        AUTO_ARENA a = { 0 };
        struct spec s;
        struct err e;

        REFUSE(cases);
        ACCEPT(fine);
        /* An empty profile switches the filter off; absent flags and no flags are told apart. */
        assert_int_equal(parse_at(&a, LINUX, "\"seccomp\":{}", &s, &e), 0);
        assert_null(s.linux_.seccomp);
        assert_int_equal(parse_at(&a, SECCOMP("\"flags\":[]"), &s, &e), 0);
        assert_non_null(s.linux_.seccomp->flags.v);
        assert_int_equal(s.linux_.seccomp->flags.n, 0);
        assert_int_equal(parse_at(&a, SECCOMP("\"x\":0"), &s, &e), 0);
        assert_null(s.linux_.seccomp->flags.v);
}

/* ---- everything at once ---- */

static const char full[] =
        "{\"ociVersion\":\"1.3.0\",\"root\":{\"path\":\"rootfs\",\"readonly\":true},"
        "\"hostname\":\"h\",\"domainname\":\"d\",\"process\":{\"terminal\":true,"
        "\"consoleSize\":{\"height\":24,\"width\":80},\"user\":{\"uid\":1,\"gid\":2,\"umask\":18,"
        "\"additionalGids\":[5,6]},\"args\":[\"sh\",\"-c\",\"\"],\"env\":[\"A=b\"],\"cwd\":\"/c\","
        "\"capabilities\":{\"bounding\":[\"CAP_KILL\"],\"ambient\":[]},\"rlimits\":[{\"type\":"
        "\"RLIMIT_NOFILE\",\"soft\":1,\"hard\":18446744073709551615}],\"noNewPrivileges\":true,"
        "\"apparmorProfile\":\"p\",\"selinuxLabel\":\"l\",\"oomScoreAdj\":-5,\"scheduler\":{"
        "\"policy\":\"SCHED_BATCH\",\"nice\":-3},\"ioPriority\":{\"class\":\"IOPRIO_CLASS_BE\","
        "\"priority\":3},\"execCPUAffinity\":{\"initial\":\"0\",\"final\":\"1\"}},"
        "\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
        "{\"destination\":\"/b\",\"source\":\"/s\",\"options\":[\"bind\",\"ro\"],\"uidMappings\":"
        "[{\"containerID\":0,\"hostID\":10,\"size\":20}],\"gidMappings\":[{\"containerID\":0,"
        "\"hostID\":30,\"size\":40}]}],\"hooks\":{\"startContainer\":[{\"path\":\"/h\","
        "\"args\":[\"h\"],\"env\":[\"X=y\"],\"timeout\":9}]},\"annotations\":{\"k\":\"v\"},"
        "\"linux\":{\"uidMappings\":[{\"containerID\":0,\"hostID\":100,\"size\":200}],"
        "\"gidMappings\":[{\"containerID\":0,\"hostID\":300,\"size\":400}],\"sysctl\":{\"net.a\":"
        "\"1\"},\"resources\":{\"devices\":[{\"allow\":true,\"type\":\"c\",\"major\":1,"
        "\"access\":\"rw\"}],\"memory\":{\"limit\":1,\"reservation\":2,\"swap\":3,\"kernel\":4,"
        "\"kernelTCP\":5,\"swappiness\":6,\"disableOOMKiller\":true,\"useHierarchy\":false,"
        "\"checkBeforeUpdate\":true},\"cpu\":{\"shares\":1,\"quota\":20,\"burst\":3,\"period\":4,"
        "\"realtimeRuntime\":5,\"realtimePeriod\":6,\"cpus\":\"0\",\"mems\":\"1\",\"idle\":1},"
        "\"blockIO\":{\"weight\":10,\"leafWeight\":11,\"weightDevice\":[{\"major\":8,\"minor\":1,"
        "\"weight\":12,\"leafWeight\":13}],\"throttleReadBpsDevice\":[{\"major\":8,\"minor\":2,"
        "\"rate\":14}],\"throttleWriteBpsDevice\":[{\"major\":8,\"minor\":3,\"rate\":15}],"
        "\"throttleReadIOPSDevice\":[{\"major\":8,\"minor\":4,\"rate\":16}],"
        "\"throttleWriteIOPSDevice\":[{\"major\":8,\"minor\":5,\"rate\":17}]},\"pids\":{"
        "\"limit\":0},\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":18}],\"network\":{"
        "\"classID\":19,\"priorities\":[{\"name\":\"eth0\",\"priority\":20}]},\"rdma\":{\"mlx\":{"
        "\"hcaHandles\":21,\"hcaObjects\":22}},\"unified\":{\"memory.high\":\"23\"}},"
        "\"cgroupsPath\":\"/cg\",\"namespaces\":[{\"type\":\"user\"},{\"type\":\"uts\"},{\"type\":"
        "\"mount\"},{\"type\":\"network\",\"path\":\"/n\"},{\"type\":\"time\"}],\"timeOffsets\":{"
        "\"monotonic\":{\"secs\":-1,\"nanosecs\":2},\"boottime\":{\"secs\":3}},\"devices\":[{"
        "\"path\":\"/dev/x\",\"type\":\"b\",\"major\":7,\"minor\":8,\"fileMode\":438,\"uid\":1,"
        "\"gid\":2}],\"netDevices\":{\"eth1\":{\"name\":\"c0\"}},\"seccomp\":{\"defaultAction\":"
        "\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38,\"architectures\":[\"SCMP_ARCH_X86_64\"],"
        "\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\"],\"listenerPath\":\"/l\",\"listenerMetadata\":"
        "\"m\",\"syscalls\":[{\"names\":[\"read\",\"mkdir\"],\"action\":\"SCMP_ACT_TRACE\","
        "\"errnoRet\":1,\"args\":[{\"index\":2,\"value\":3,\"valueTwo\":4,\"op\":\"SCMP_CMP_NE\"}"
        "]}]},\"rootfsPropagation\":\"slave\",\"maskedPaths\":[\"/m\"],\"readonlyPaths\":[\"/r\"],"
        "\"mountLabel\":\"ml\",\"intelRdt\":{\"closID\":\"c\",\"l3CacheSchema\":\"L3:0=f\","
        "\"memBwSchema\":\"MB:0=1\",\"schemata\":[\"L2:0=1\"],\"enableMonitoring\":true,"
        "\"enableCMT\":true,\"enableMBM\":true},\"memoryPolicy\":{\"mode\":\"MPOL_BIND\","
        "\"nodes\":\"0\",\"flags\":[\"MPOL_F_STATIC_NODES\"]},\"personality\":{\"domain\":"
        "\"LINUX32\"}}}";

static void parse_full(struct arena *a, struct spec *ret)
{
        struct err e = { 0 };

        if (spec_parse(a, full, sizeof full - 1, ret, &e) < 0)
                fail_msg("%s", e.chain);
}

static void test_full_process(void **state)
{
        AUTO_ARENA a = { 0 };
        const struct spec_process *p;
        struct spec s;

        parse_full(&a, &s);
        p = s.process;
        assert_string_equal(s.oci_version, "1.3.0");
        assert_string_equal(s.root.path, "rootfs");
        assert_true(s.root.readonly);
        assert_string_equal(s.hostname, "h");
        assert_string_equal(s.domainname, "d");
        assert_true(p->terminal);
        assert_int_equal(p->console_size.height, 24);
        assert_int_equal(p->console_size.width, 80);
        assert_int_equal(p->user.uid, 1);
        assert_int_equal(p->user.gid, 2);
        assert_true(p->user.umask.set);
        assert_int_equal(p->user.umask.v, 18);
        assert_int_equal(p->user.n_additional_gids, 2);
        assert_int_equal(p->user.additional_gids[1], 6);
        assert_int_equal(p->args.n, 3);
        assert_string_equal(p->args.v[2], "");
        assert_string_equal(p->env.v[0], "A=b");
        assert_string_equal(p->cwd, "/c");
        assert_string_equal(p->capabilities->bounding.v[0], "CAP_KILL");
        assert_int_equal(p->capabilities->ambient.n, 0);
        assert_int_equal(p->n_rlimits, 1);
        assert_string_equal(p->rlimits[0].type, "RLIMIT_NOFILE");
        assert_int_equal(p->rlimits[0].soft, 1);
        assert_true(p->rlimits[0].hard == UINT64_MAX);
        assert_true(p->no_new_privileges);
        assert_string_equal(p->apparmor_profile, "p");
        assert_string_equal(p->selinux_label, "l");
        assert_true(p->oom_score_adj.set);
        assert_int_equal(p->oom_score_adj.v, -5);
        assert_string_equal(p->scheduler->policy, "SCHED_BATCH");
        assert_int_equal(p->scheduler->nice, -3);
        assert_string_equal(p->io_priority->class, "IOPRIO_CLASS_BE");
        assert_int_equal(p->io_priority->priority, 3);
        assert_string_equal(p->exec_cpu_affinity.initial, "0");
        assert_string_equal(p->exec_cpu_affinity.final, "1");
}

static void test_full_mounts_and_hooks(void **state)
{
        const struct spec_hook *hook;
        AUTO_ARENA a = { 0 };
        struct spec s;

        parse_full(&a, &s);
        assert_int_equal(s.n_mounts, 2);
        assert_string_equal(s.mounts[0].type, "proc");
        assert_int_equal(s.mounts[0].options.n, 0);
        assert_string_equal(s.mounts[1].destination, "/b");
        assert_string_equal(s.mounts[1].source, "/s");
        assert_null(s.mounts[1].type);
        assert_string_equal(s.mounts[1].options.v[1], "ro");
        assert_int_equal(s.mounts[1].uid_mappings.v[0].host_id, 10);
        assert_int_equal(s.mounts[1].gid_mappings.v[0].size, 40);
        for (int i = 0; i < HOOK_MAX; i++)
                assert_int_equal(s.hooks[i].n, i == HOOK_START_CONTAINER);
        hook = &s.hooks[HOOK_START_CONTAINER].v[0];
        assert_string_equal(hook->path, "/h");
        assert_string_equal(hook->args.v[0], "h");
        assert_string_equal(hook->env.v[0], "X=y");
        assert_int_equal(hook->timeout.v, 9);
        assert_string_equal(spec_annotation(&s, "k"), "v");
        assert_null(spec_annotation(&s, "K"));
}

static void test_full_linux(void **state)
{
        const struct spec_linux *l;
        AUTO_ARENA a = { 0 };
        struct spec s;

        parse_full(&a, &s);
        l = &s.linux_;
        assert_int_equal(l->uid_mappings.v[0].host_id, 100);
        assert_int_equal(l->gid_mappings.v[0].size, 400);
        assert_string_equal(l->sysctl.v[0].key, "net.a");
        assert_string_equal(l->sysctl.v[0].value, "1");
        assert_string_equal(l->cgroups_path, "/cg");
        assert_true(l->namespaces[NS_USER].present && !l->namespaces[NS_USER].path);
        assert_string_equal(l->namespaces[NS_NET].path, "/n");
        assert_false(l->namespaces[NS_PID].present);
        assert_int_equal(l->time_offsets.monotonic.secs, -1);
        assert_int_equal(l->time_offsets.monotonic.nanosecs, 2);
        assert_true(l->time_offsets.boottime.set);
        assert_string_equal(l->devices[0].path, "/dev/x");
        assert_int_equal(l->devices[0].type, 'b');
        assert_int_equal(l->devices[0].major, 7);
        assert_int_equal(l->devices[0].minor, 8);
        assert_int_equal(l->devices[0].file_mode.v, 0666);
        assert_int_equal(l->devices[0].gid.v, 2);
        assert_string_equal(l->net_devices[0].host_name, "eth1");
        assert_string_equal(l->net_devices[0].name, "c0");
        assert_string_equal(l->seccomp->default_action, "SCMP_ACT_ERRNO");
        assert_int_equal(l->seccomp->default_errno_ret.v, 38);
        assert_string_equal(l->seccomp->listener_metadata, "m");
        assert_string_equal(l->seccomp->rules[0].names.v[1], "mkdir");
        assert_int_equal(l->seccomp->rules[0].errno_ret.v, 1);
        assert_int_equal(l->seccomp->rules[0].args[0].index, 2);
        assert_int_equal(l->seccomp->rules[0].args[0].value_two, 4);
        assert_string_equal(l->seccomp->rules[0].args[0].op, "SCMP_CMP_NE");
        assert_string_equal(l->rootfs_propagation, "slave");
        assert_string_equal(l->masked_paths.v[0], "/m");
        assert_string_equal(l->readonly_paths.v[0], "/r");
        assert_string_equal(l->mount_label, "ml");
        assert_string_equal(l->intel_rdt->clos_id, "c");
        assert_string_equal(l->intel_rdt->schemata.v[0], "L2:0=1");
        assert_true(l->intel_rdt->enable_monitoring && l->intel_rdt->enable_mbm);
        assert_string_equal(l->memory_policy->mode, "MPOL_BIND");
        assert_string_equal(l->memory_policy->flags.v[0], "MPOL_F_STATIC_NODES");
        assert_string_equal(l->personality->domain, "LINUX32");
}

static void test_full_resources(void **state)
{
        const struct spec_block_io *b;
        const struct spec_resources *r;
        AUTO_ARENA a = { 0 };
        struct spec s;

        parse_full(&a, &s);
        r = s.linux_.resources;
        b = r->block_io;
        assert_true(r->devices[0].allow);
        assert_int_equal(r->devices[0].type, 'c');
        assert_int_equal(r->devices[0].major.v, 1);
        assert_false(r->devices[0].minor.set);
        assert_int_equal(r->memory->limit.v, 1);
        assert_int_equal(r->memory->reservation.v, 2);
        assert_int_equal(r->memory->swap.v, 3);
        assert_int_equal(r->memory->kernel.v, 4);
        assert_int_equal(r->memory->kernel_tcp.v, 5);
        assert_int_equal(r->memory->swappiness.v, 6);
        assert_true(r->memory->disable_oom_killer.v && r->memory->check_before_update.v);
        assert_true(r->memory->use_hierarchy.set && !r->memory->use_hierarchy.v);
        assert_int_equal(r->cpu->shares.v, 1);
        assert_int_equal(r->cpu->quota.v, 20);
        assert_int_equal(r->cpu->burst.v, 3);
        assert_int_equal(r->cpu->period.v, 4);
        assert_int_equal(r->cpu->realtime_runtime.v, 5);
        assert_int_equal(r->cpu->realtime_period.v, 6);
        assert_string_equal(r->cpu->cpus, "0");
        assert_string_equal(r->cpu->mems, "1");
        assert_int_equal(r->cpu->idle.v, 1);
        assert_int_equal(b->weight.v, 10);
        assert_int_equal(b->leaf_weight.v, 11);
        assert_int_equal(b->weight_devices[0].weight.v, 12);
        assert_int_equal(b->weight_devices[0].leaf_weight.v, 13);
        assert_int_equal(b->read_bps.v[0].rate, 14);
        assert_int_equal(b->write_bps.v[0].rate, 15);
        assert_int_equal(b->read_iops.v[0].rate, 16);
        assert_int_equal(b->write_iops.v[0].rate, 17);
        assert_int_equal(b->write_iops.v[0].minor, 5);
        assert_true(r->pids_limit.set);
        assert_int_equal(r->pids_limit.v, 0);
        assert_string_equal(r->hugepages[0].page_size, "2MB");
        assert_int_equal(r->hugepages[0].limit, 18);
        assert_int_equal(r->network->class_id.v, 19);
        assert_int_equal(r->network->priorities[0].priority, 20);
        assert_string_equal(r->rdma[0].device, "mlx");
        assert_int_equal(r->rdma[0].hca_handles.v, 21);
        assert_int_equal(r->rdma[0].hca_objects.v, 22);
        assert_string_equal(r->unified.v[0].key, "memory.high");
}

/* ---- hostile documents ---- */

static void test_syntax(void **state)
{
        static const struct {
                const char *text, *chain;
                enum err_code code;
        } cases[] = {
                { "", "line 1, column 1: unexpected end of the text", ERR_INVALID },
                { "{\n\"root\":{},\n \"root\":{}}", "line 3, column 3: duplicate key \"root\"",
                  ERR_INVALID },
                { "{\"root\":{}},", "line 1, column 12: bytes after the value", ERR_INVALID },
                { "[]", "expected an object, found array", ERR_INVALID },
                { "\"config\"", "expected an object, found string", ERR_INVALID },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                AUTO_ARENA a = { 0 };
                struct err e = { 0 };
                struct spec s;

                assert_int_equal(spec_parse(&a, cases[i].text, strlen(cases[i].text), &s, &e), -1);
                assert_string_equal(e.chain, cases[i].chain);
                assert_int_equal(e.code, cases[i].code);
        }
}

enum hostile { DEEP, MANY_MOUNTS, MANY_NUMBERS, MANY_KEYS, LONG_STRING, HOSTILE_MAX };

static void add_times(struct buf *b, const char *s, size_t bytes)
{
        size_t n = strlen(s);

        for (size_t i = 0; i + n <= bytes; i += n)
                buf_add(b, s, n);
}

static void make_hostile(struct buf *b, enum hostile kind)
{
        enum { SIZE = SPEC_MAX_BYTES - 1024 };

        switch (kind) {
        case DEEP:
                add_times(b, "{\"a\":[", SIZE);
                return;
        case MANY_MOUNTS:
                buf_puts(b, "{\"mounts\":[");
                add_times(b, "{},", SIZE);
                buf_puts(b, "{}]}");
                return;
        case MANY_NUMBERS:
                buf_puts(b, "{\"x\":[");
                add_times(b, "0,", SIZE);
                buf_puts(b, "0]}");
                return;
        case MANY_KEYS:
                buf_puts(b, "{");
                for (int i = 0; b->len < SIZE; i++)
                        buf_printf(b, "\"%x\":{},", i);
                buf_puts(b, "\"0\":0}");
                return;
        case LONG_STRING:
                buf_puts(b, "{\"hostname\":\"");
                add_times(b, "a", SIZE);
                buf_puts(b, "\"}");
                return;
        case HOSTILE_MAX:
                return;
        }
}

/* In a child, whose peak memory is then known: 0 when refused within bounds. */
static int hostile_child(enum hostile kind)
{
        struct rusage was, now;
        AUTO_ARENA a = { 0 };
        AUTO_BUF b = { 0 };
        struct err e = { 0 };
        struct spec s;

        make_hostile(&b, kind);
        getrusage(RUSAGE_SELF, &was);
        if (spec_parse(&a, b.s, b.len, &s, &e) == 0)
                return 1;
        getrusage(RUSAGE_SELF, &now);
        fprintf(stderr, "hostile document %d: %ld KiB more, \"%s\"\n", kind,
                now.ru_maxrss - was.ru_maxrss, e.chain);
#ifdef __SANITIZE_ADDRESS__
        return 0; /* the sanitizer keeps freed memory: only the refusal counts */
#endif
        return now.ru_maxrss - was.ru_maxrss > 100 << 10 ? 2 : 0;
}

static void test_hostile_documents(void **state)
{
        for (int kind = 0; kind < HOSTILE_MAX; kind++) {
                int status;
                pid_t pid = fork();

                assert_true(pid >= 0);
                if (pid == 0)
                        _exit(hostile_child(kind));
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_true(WIFEXITED(status));
                assert_int_equal(WEXITSTATUS(status), 0);
        }
}

/* Pages that nobody may read: a document beyond the limit is refused unseen. */
static void test_too_large_is_not_read(void **state)
{
        size_t size = 100u << 20;
        void *text =
                mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        AUTO_ARENA a = { 0 };
        struct err e = { 0 };
        struct spec s;

        assert_ptr_not_equal(text, MAP_FAILED);
        assert_int_equal(spec_parse(&a, text, size, &s, &e), -1);
        assert_int_equal(e.code, ERR_LIMIT);
        assert_string_equal(e.chain, "the document is larger than 16 MiB");
        munmap(text, size);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_types),
                cmocka_unit_test(test_long_values_are_cut),
                cmocka_unit_test(test_process),
                cmocka_unit_test(test_command),
                cmocka_unit_test(test_top),
                cmocka_unit_test(test_root_and_process),
                cmocka_unit_test(test_namespaces),
                cmocka_unit_test(test_id_mappings),
                cmocka_unit_test(test_many_id_mappings),
                cmocka_unit_test(test_devices),
                cmocka_unit_test(test_resources),
                cmocka_unit_test(test_update_resources),
                cmocka_unit_test(test_linux),
                cmocka_unit_test(test_sysctl),
                cmocka_unit_test(test_seccomp),
                cmocka_unit_test(test_full_process),
                cmocka_unit_test(test_full_mounts_and_hooks),
                cmocka_unit_test(test_full_linux),
                cmocka_unit_test(test_full_resources),
                cmocka_unit_test(test_syntax),
                cmocka_unit_test(test_hostile_documents),
                cmocka_unit_test(test_too_large_is_not_read),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
