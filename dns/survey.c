#include "dns/survey.h"

#define TEXT_TIME (1 * SECOND)

/* False where it could not be sent. */
static bool ask(struct survey *s, struct question *q, struct slice zone, enum answer_type type)
{
    char name[IP_REVERSED + 1 + DNSLIST_ZONE];
    size_t n = s->name_len;

    memcpy(name, s->name, n);
    name[n++] = '.';
    memcpy(name + n, zone.p, zone.n);
    return question_ask(q, s->servers, (struct slice){name, n + zone.n}, type);
}

/* Settles finding i, and so all with its zone: with this trouble; or, where that is FINDING_ASKED, by the
 * packet. With trouble there may be a part of a packet. */
static void settle(struct survey *s, size_t i, enum finding_state trouble, instant now)
{
    struct question *q = &s->question[i];

    for (size_t k = i; k < s->findings->n; k++) {
        struct finding *f = &s->findings->finding[k];
        if (f->asked_by != i)
            continue;
        f->state = (unsigned char)(trouble ? trouble : finding_judge(f->list, question_packet(q), f->answer));
        f->took = now - s->begun;
    }
    question_end(q);
}

static void send_all(struct survey *s)
{
    bool ready = question_servers(s->servers);

    for (size_t i = 0; i < s->findings->n; i++) {
        const struct finding *f = &s->findings->finding[i];
        if (f->asked_by != i)
            continue;
        memset(&s->question[i], 0, sizeof s->question[i]);
        if (!ready || !ask(s, &s->question[i], f->list->zone, ANSWER_A))
            settle(s, i, FINDING_FAILED, s->begun);
    }
}

void survey_ask(struct survey *s, struct findings *findings, struct slice name, instant deadline)
{
    s->findings = findings;
    s->text_len = 0;
    s->begun = deadline_now();
    s->deadline = deadline;
    memset(&s->text_question, 0, sizeof s->text_question);
    s->name_len = name.n;
    memcpy(s->name, name.p, name.n);
    send_all(s);
}

void survey_begin(struct survey *s, struct findings *findings, const struct ip *client, instant deadline)
{
    char name[IP_REVERSED];
    size_t n = 0;

    if (client && !ip_is_private(client))
        n = ip_reversed(name, client);
    else
        findings->n = 0;
    survey_ask(s, findings, (struct slice){name, n}, deadline);
}

/* The question of finding i if it is out; that of the text is behind the last. */
static struct question *is_out(struct survey *s, size_t i)
{
    if (i == s->findings->n)
        return question_is_out(&s->text_question) ? &s->text_question : NULL;
    return s->findings->finding[i].asked_by == i && question_is_out(&s->question[i]) ? &s->question[i] : NULL;
}

size_t survey_prepare(struct survey *s, struct pollfd *fds, instant *until)
{
    struct question *q;
    size_t n = 0;

    for (size_t i = 0; i <= s->findings->n; i++)
        if ((q = is_out(s, i)))
            question_prepare(q, &fds[n++], until);
    if (n)
        *until = deadline_earlier(*until, s->deadline);
    return n;
}

static void settle_text(struct survey *s, enum finding_state trouble)
{
    if (!trouble)
        s->text_len = answer_text(question_packet(&s->text_question), s->text, sizeof s->text);
    question_end(&s->text_question);
}

void survey_take(struct survey *s, const struct pollfd *fds, size_t n)
{
    struct question *q;
    instant now = deadline_now();

    for (size_t i = 0, k = 0; i <= s->findings->n; i++) {
        if (!(q = is_out(s, i)))
            continue;
        int r = k < n ? question_take(q, &fds[k++]) : 0;
        if (!r && now < s->deadline)
            continue;
        enum finding_state trouble = r > 0 ? FINDING_ASKED : r < 0 ? FINDING_FAILED : FINDING_TIMEOUT;
        if (i < s->findings->n)
            settle(s, i, trouble, now);
        else
            settle_text(s, trouble);
    }
}

void survey_ask_text(struct survey *s, size_t which)
{
    instant least = deadline_after(deadline_now(), TEXT_TIME);

    if (s->deadline < least) /* a silent list took all the time, or the client came late to its RCPT */
        s->deadline = least;
    ask(s, &s->text_question, s->findings->finding[which].list->zone, ANSWER_TXT);
}

bool survey_text(const struct survey *s, struct slice *text)
{
    if (question_is_out(&s->text_question))
        return false;
    *text = (struct slice){s->text, s->text_len};
    return true;
}

void survey_end(struct survey *s)
{
    for (size_t i = 0; i <= s->findings->n; i++) {
        struct question *q = is_out(s, i);
        if (q)
            question_end(q);
    }
}
