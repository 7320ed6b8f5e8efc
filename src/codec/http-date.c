/* Dates of HTTP (RFC 9110, section 5.6.7): the one that is sent, and the two that must be read. */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "codec/http-field.h"

#define DAY 86400

static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

struct date {
        int64_t year;
        unsigned month, day, hour, minute, second; /* month from 0 */
};

/* Days since 1970 of a day of the Gregorian calendar: years begin in March, so that a leap day is
 * the last. */
static int64_t days(const struct date *d)
{
        int64_t year = d->month < 2 ? d->year - 1 : d->year;
        int64_t era = year / 400, of_era = year % 400;
        int64_t of_year = (153 * (((int64_t)d->month + 10) % 12) + 2) / 5 + d->day - 1;

        return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* Walks over text by a pattern: 'd' a digit of the next number, '_' a digit or a blank, 'm' three
 * letters of a month, 'w' letters, everything else itself. */
static bool scan(const char *s, const char *pattern, unsigned *numbers, unsigned *month)
{
        unsigned at = 0;

        for (; *pattern; pattern++) {
                bool begins = pattern[0] != pattern[-1] && pattern[-1] != '_';

                switch (*pattern) {
                case 'w':
                        if ((*s | 0x20) < 'a' || (*s | 0x20) > 'z')
                                return false;
                        s += strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
                        break;
                case 'm':
                        for (*month = 0; *month < 12; ++*month)
                                if (strncmp(s, months[*month], 3) == 0)
                                        break;
                        if (*month == 12)
                                return false;
                        s += 3;
                        break;
                case '_':
                case 'd':
                        if (begins)
                                numbers[at++] = 0;
                        if (*s >= '0' && *s <= '9')
                                numbers[at - 1] = numbers[at - 1] * 10 + (unsigned)(*s - '0');
                        else if (*pattern != '_' || *s != ' ')
                                return false;
                        s++;
                        break;
                default:
                        if (*s++ != *pattern)
                                return false;
                }
        }
        return !*(s + strspn(s, " \t"));
}

int http_date(const char *field, int64_t *ret)
{
        /* Where day, year, hour, minute and second are among the numbers. A leading blank lets
         * scan() look at the character before. */
        static const struct {
                const char *pattern;
                unsigned char day, year, hour;
        } forms[] = {
                { " w, dd m dddd dd:dd:dd GMT", 0, 1, 2 },
                { " w, dd-m-dd dd:dd:dd GMT", 0, 1, 2 },
                { " w m _d dd:dd:dd dddd", 0, 4, 1 },
        };
        unsigned n[5] = { 0 }, month = 0;

        field += strspn(field, " \t");
        for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
                struct date d;

                if (!scan(field, forms[i].pattern + 1, n, &month))
                        continue;
                d = (struct date){ .year = n[forms[i].year],
                                   .month = month,
                                   .day = n[forms[i].day],
                                   .hour = n[forms[i].hour],
                                   .minute = n[forms[i].hour + 1],
                                   .second = n[forms[i].hour + 2] };
                if (i == 1)
                        d.year += d.year < 70 ? 2000 : 1900;
                if (d.day < 1 || d.day > 31 || d.hour > 23 || d.minute > 59 || d.second > 60)
                        return -EINVAL;
                *ret = days(&d) * DAY + d.hour * 3600 + d.minute * 60 + d.second;
                return 0;
        }
        return -EINVAL;
}

int http_retry_after(const char *field, int64_t now, uint32_t *ret_seconds)
{
        int64_t at;
        uint64_t seconds;
        size_t n;

        field += strspn(field, " \t");
        n = strspn(field, "0123456789");
        if (n && !field[n + strspn(field + n, " \t")]) {
                AUTO_ARENA a = { 0 };

                if (n > HTTP_FIELD_MAX || str_to_u64(arena_strndup(&a, field, n), &seconds) < 0)
                        seconds = DAY; /* more digits than a number has: long */
                *ret_seconds = (uint32_t)MIN(seconds, (uint64_t)DAY);
                return 0;
        }
        if (http_date(field, &at) < 0)
                return -EINVAL;
        *ret_seconds = at <= now ? 0 : (uint32_t)MIN(at - now, (int64_t)DAY);
        return 0;
}
