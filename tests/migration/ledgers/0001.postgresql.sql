CREATE FUNCTION public.vibe_job_history() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO job_history (job_id, from_status, status, attempt, worker_id, timestamp, details)
    VALUES (NEW.id, NULL, NEW.status, NEW.attempt, NEW.worker, NEW.status_updated_at, NULL);
  ELSE
    INSERT INTO job_history (job_id, from_status, status, attempt, worker_id, timestamp, details)
    VALUES (NEW.id, OLD.status, NEW.status, NEW.attempt, COALESCE(NEW.worker, OLD.worker),
            NEW.status_updated_at, NEW.error);
  END IF;
  RETURN NULL;
END $$;
CREATE FUNCTION public.vibe_now() RETURNS double precision
    LANGUAGE sql STABLE
    AS $$ SELECT extract(epoch FROM statement_timestamp())::double precision $$;
CREATE TABLE public.agent_outputs (
    id bigint NOT NULL,
    run_id bigint NOT NULL,
    agent_name text NOT NULL,
    model_version text,
    content text NOT NULL,
    output_timestamp bigint NOT NULL
);
CREATE SEQUENCE public.agent_outputs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.agent_outputs_id_seq OWNED BY public.agent_outputs.id;
CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.consensus_runs (
    id bigint NOT NULL,
    spec_id text NOT NULL,
    stage text NOT NULL,
    run_timestamp bigint NOT NULL,
    consensus_ok integer NOT NULL,
    degraded integer DEFAULT 0 NOT NULL,
    synthesis_json text
);
CREATE SEQUENCE public.consensus_runs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.consensus_runs_id_seq OWNED BY public.consensus_runs.id;
CREATE TABLE public.events (
    id bigint NOT NULL,
    source_app text NOT NULL,
    session_id text NOT NULL,
    hook_event_type text NOT NULL,
    payload json NOT NULL,
    chat json,
    summary text,
    model_name text,
    "timestamp" bigint NOT NULL
);
CREATE SEQUENCE public.events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.events_id_seq OWNED BY public.events.id;
CREATE TABLE public.job_history (
    id bigint NOT NULL,
    job_id text NOT NULL,
    from_status text,
    status text NOT NULL,
    attempt integer NOT NULL,
    worker_id text,
    "timestamp" double precision NOT NULL,
    details text
);
CREATE TABLE public.job_history_archive (
    id bigint NOT NULL,
    job_id text NOT NULL,
    from_status text,
    status text NOT NULL,
    attempt integer NOT NULL,
    worker_id text,
    "timestamp" double precision NOT NULL,
    details text
);
CREATE SEQUENCE public.job_history_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.job_history_id_seq OWNED BY public.job_history.id;
CREATE TABLE public.jobs (
    seq bigint NOT NULL,
    id text NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    lane text NOT NULL,
    priority integer NOT NULL,
    effort integer NOT NULL,
    status text NOT NULL,
    args json NOT NULL,
    result json,
    error text,
    retry_count integer NOT NULL,
    max_retries integer NOT NULL,
    retry_base double precision NOT NULL,
    attempt integer NOT NULL,
    backoff_until double precision,
    published_at double precision,
    worker text,
    lease_until double precision,
    time_limit double precision,
    unique_key text,
    canvas json,
    plan_id text,
    task_id text,
    round integer NOT NULL,
    created_at double precision NOT NULL,
    started_at double precision,
    status_updated_at double precision NOT NULL,
    dead_at double precision,
    CONSTRAINT job_priority CHECK (((priority >= 0) AND (priority <= 4))),
    CONSTRAINT job_status CHECK ((status = ANY (ARRAY['blocked'::text, 'pending'::text, 'processing'::text, 'completed'::text, 'failed'::text, 'cancelled'::text])))
);
CREATE SEQUENCE public.jobs_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.jobs_seq_seq OWNED BY public.jobs.seq;
CREATE TABLE public.plans (
    id text NOT NULL,
    name text NOT NULL,
    status text NOT NULL,
    digest text NOT NULL,
    source text NOT NULL,
    plan_dir text NOT NULL,
    repo text NOT NULL,
    base_commit text NOT NULL,
    branch text NOT NULL,
    spec json NOT NULL,
    created_at double precision NOT NULL,
    ended_at double precision,
    CONSTRAINT plan_status CHECK ((status = ANY (ARRAY['running'::text, 'completed'::text, 'failed'::text, 'cancelled'::text, 'replaced'::text])))
);
CREATE TABLE public.task_needs (
    plan_id text NOT NULL,
    needs_id text NOT NULL,
    task_id text NOT NULL
);
CREATE TABLE public.tasks (
    plan_id text NOT NULL,
    id text NOT NULL,
    "position" integer NOT NULL,
    title text NOT NULL,
    status text NOT NULL,
    stage text,
    spec json NOT NULL,
    waiting_on integer NOT NULL,
    fix_round integer NOT NULL,
    max_fix_rounds integer NOT NULL,
    commit_id text,
    error text,
    status_updated_at double precision NOT NULL,
    CONSTRAINT task_status CHECK ((status = ANY (ARRAY['waiting'::text, 'running'::text, 'deployed'::text, 'dead'::text, 'blocked'::text, 'cancelled'::text])))
);
CREATE VIEW public.view_dead_letter_queue AS
 SELECT id,
    name,
    kind,
    lane,
    plan_id,
    task_id,
    attempt AS attempts,
    retry_count,
    max_retries,
    error,
    args,
    dead_at,
    created_at
   FROM public.jobs
  WHERE (dead_at IS NOT NULL);
CREATE TABLE public.worker_health (
    worker_id text NOT NULL,
    lane text NOT NULL,
    tier text NOT NULL,
    active_tasks integer NOT NULL,
    capacity_limit integer NOT NULL,
    status text NOT NULL,
    last_seen double precision NOT NULL
);
ALTER TABLE ONLY public.agent_outputs ALTER COLUMN id SET DEFAULT nextval('public.agent_outputs_id_seq'::regclass);
ALTER TABLE ONLY public.consensus_runs ALTER COLUMN id SET DEFAULT nextval('public.consensus_runs_id_seq'::regclass);
ALTER TABLE ONLY public.events ALTER COLUMN id SET DEFAULT nextval('public.events_id_seq'::regclass);
ALTER TABLE ONLY public.job_history ALTER COLUMN id SET DEFAULT nextval('public.job_history_id_seq'::regclass);
ALTER TABLE ONLY public.jobs ALTER COLUMN seq SET DEFAULT nextval('public.jobs_seq_seq'::regclass);
INSERT INTO public.agent_outputs (id, run_id, agent_name, model_version, content, output_timestamp) VALUES (1, 1, 'agent_name 1 é🦀 ''quoted'' \ 100 %
next line', 'model_version 1 é🦀 ''quoted'' \ 100 %
next line', 'content 1 é🦀 ''quoted'' \ 100 %
next line', 9007199254740993);
INSERT INTO public.agent_outputs (id, run_id, agent_name, model_version, content, output_timestamp) VALUES (2, 2, 'agent_name 2 é🦀 ''quoted'' \ 100 %
next line', NULL, 'content 2 é🦀 ''quoted'' \ 100 %
next line', 9007199254740994);
INSERT INTO public.alembic_version (version_num) VALUES ('0001');
INSERT INTO public.consensus_runs (id, spec_id, stage, run_timestamp, consensus_ok, degraded, synthesis_json) VALUES (1, 'spec_id 1 é🦀 ''quoted'' \ 100 %
next line', 'stage 1 é🦀 ''quoted'' \ 100 %
next line', 9007199254740993, 1, 1, 'synthesis_json 1 é🦀 ''quoted'' \ 100 %
next line');
INSERT INTO public.consensus_runs (id, spec_id, stage, run_timestamp, consensus_ok, degraded, synthesis_json) VALUES (2, 'spec_id 2 é🦀 ''quoted'' \ 100 %
next line', 'stage 2 é🦀 ''quoted'' \ 100 %
next line', 9007199254740994, 2, 2, NULL);
INSERT INTO public.events (id, source_app, session_id, hook_event_type, payload, chat, summary, model_name, "timestamp") VALUES (1, 'source_app 1 é🦀 ''quoted'' \ 100 %
next line', 'session_id 1 é🦀 ''quoted'' \ 100 %
next line', 'hook_event_type 1 é🦀 ''quoted'' \ 100 %
next line', '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}', '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}', 'summary 1 é🦀 ''quoted'' \ 100 %
next line', 'model_name 1 é🦀 ''quoted'' \ 100 %
next line', 9007199254740993);
INSERT INTO public.events (id, source_app, session_id, hook_event_type, payload, chat, summary, model_name, "timestamp") VALUES (2, 'source_app 2 é🦀 ''quoted'' \ 100 %
next line', 'session_id 2 é🦀 ''quoted'' \ 100 %
next line', 'hook_event_type 2 é🦀 ''quoted'' \ 100 %
next line', '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}', NULL, NULL, NULL, 9007199254740994);
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (1, 'job-8', NULL, 'blocked', 0, NULL, 1795378244.962102, NULL);
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (2, 'job-9', NULL, 'pending', 0, NULL, 1795378244.966159, NULL);
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (3, 'job-10', NULL, 'pending', 0, NULL, 1795378244.967963, NULL);
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (4, 'job-10', 'pending', 'processing', 1, 'w1', 1795378244.971774, NULL);
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (5, 'job-11', NULL, 'pending', 0, NULL, 1795378244.97451, NULL);
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (6, 'job-11', 'pending', 'processing', 1, 'w1', 1795378244.976032, NULL);
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (7, 'job-11', 'processing', 'completed', 1, 'w1', 1795378244.977738, NULL);
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (8, 'job-12', NULL, 'pending', 0, NULL, 1795378244.979042, NULL);
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (9, 'job-12', 'pending', 'processing', 1, 'w1', 1795378244.980357, NULL);
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (10, 'job-12', 'processing', 'failed', 1, 'w1', 1795378244.982735, 'boom');
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (11, 'job-13', NULL, 'pending', 0, NULL, 1795378244.984265, NULL);
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (12, 'job-13', 'pending', 'cancelled', 0, NULL, 1795378244.986123, 'no longer wanted');
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (13, 'job-14', NULL, 'pending', 0, NULL, 1795378244.987319, NULL);
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (14, 'job_id 1 é🦀 ''quoted'' \ 100 %
next line', 'from_status 1 é🦀 ''quoted'' \ 100 %
next line', 'status 1 é🦀 ''quoted'' \ 100 %
next line', 1, 'worker_id 1 é🦀 ''quoted'' \ 100 %
next line', 1700000000.1, 'details 1 é🦀 ''quoted'' \ 100 %
next line');
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (15, 'job_id 2 é🦀 ''quoted'' \ 100 %
next line', NULL, 'status 2 é🦀 ''quoted'' \ 100 %
next line', 2, NULL, 1700000000.2, NULL);
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (16, 'id 1 é🦀 ''quoted'' \ 100 %
next line', NULL, 'blocked', 1, 'worker 1 é🦀 ''quoted'' \ 100 %
next line', 1700000000.1, NULL);
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (17, 'id 2 é🦀 ''quoted'' \ 100 %
next line', NULL, 'blocked', 2, NULL, 1700000000.2, NULL);
INSERT INTO public.job_history_archive (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (1, 'job_id 1 é🦀 ''quoted'' \ 100 %
next line', 'from_status 1 é🦀 ''quoted'' \ 100 %
next line', 'status 1 é🦀 ''quoted'' \ 100 %
next line', 1, 'worker_id 1 é🦀 ''quoted'' \ 100 %
next line', 1700000000.1, 'details 1 é🦀 ''quoted'' \ 100 %
next line');
INSERT INTO public.job_history_archive (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (2, 'job_id 2 é🦀 ''quoted'' \ 100 %
next line', NULL, 'status 2 é🦀 ''quoted'' \ 100 %
next line', 2, NULL, 1700000000.2, NULL);
INSERT INTO public.jobs (seq, id, name, kind, lane, priority, effort, status, args, result, error, retry_count, max_retries, retry_base, attempt, backoff_until, published_at, worker, lease_until, time_limit, unique_key, canvas, plan_id, task_id, round, created_at, started_at, status_updated_at, dead_at) VALUES (1, 'job-8', 'test.add', 'call', 'code', 3, 2, 'blocked', '{"args":[1],"kwargs":{}}', NULL, NULL, 0, 1, 1, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 1795378244.962102, NULL, 1795378244.962102, NULL);
INSERT INTO public.jobs (seq, id, name, kind, lane, priority, effort, status, args, result, error, retry_count, max_retries, retry_base, attempt, backoff_until, published_at, worker, lease_until, time_limit, unique_key, canvas, plan_id, task_id, round, created_at, started_at, status_updated_at, dead_at) VALUES (2, 'job-9', 'test.add', 'call', 'code', 3, 2, 'pending', '{"args":[1],"kwargs":{}}', NULL, NULL, 0, 1, 1, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 1795378244.966159, NULL, 1795378244.966159, NULL);
INSERT INTO public.jobs (seq, id, name, kind, lane, priority, effort, status, args, result, error, retry_count, max_retries, retry_base, attempt, backoff_until, published_at, worker, lease_until, time_limit, unique_key, canvas, plan_id, task_id, round, created_at, started_at, status_updated_at, dead_at) VALUES (3, 'job-10', 'test.add', 'call', 'code', 3, 2, 'processing', '{"args":[1],"kwargs":{}}', NULL, NULL, 0, 1, 1, 1, NULL, NULL, 'w1', 1795378274.971774, NULL, NULL, NULL, NULL, NULL, 0, 1795378244.967963, 1795378244.971774, 1795378244.971774, NULL);
INSERT INTO public.jobs (seq, id, name, kind, lane, priority, effort, status, args, result, error, retry_count, max_retries, retry_base, attempt, backoff_until, published_at, worker, lease_until, time_limit, unique_key, canvas, plan_id, task_id, round, created_at, started_at, status_updated_at, dead_at) VALUES (4, 'job-11', 'test.add', 'call', 'code', 3, 2, 'completed', '{"args":[1],"kwargs":{}}', '2', NULL, 0, 1, 1, 1, NULL, NULL, 'w1', NULL, NULL, NULL, NULL, NULL, NULL, 0, 1795378244.97451, 1795378244.976032, 1795378244.977738, NULL);
INSERT INTO public.jobs (seq, id, name, kind, lane, priority, effort, status, args, result, error, retry_count, max_retries, retry_base, attempt, backoff_until, published_at, worker, lease_until, time_limit, unique_key, canvas, plan_id, task_id, round, created_at, started_at, status_updated_at, dead_at) VALUES (5, 'job-12', 'test.add', 'call', 'code', 3, 2, 'failed', '{"args":[1],"kwargs":{}}', NULL, 'boom', 1, 1, 1, 1, NULL, NULL, 'w1', NULL, NULL, NULL, NULL, NULL, NULL, 0, 1795378244.979042, 1795378244.980357, 1795378244.982735, 1795378244.982735);
INSERT INTO public.jobs (seq, id, name, kind, lane, priority, effort, status, args, result, error, retry_count, max_retries, retry_base, attempt, backoff_until, published_at, worker, lease_until, time_limit, unique_key, canvas, plan_id, task_id, round, created_at, started_at, status_updated_at, dead_at) VALUES (6, 'job-13', 'test.add', 'call', 'code', 3, 2, 'cancelled', '{"args":[1],"kwargs":{}}', NULL, 'no longer wanted', 0, 1, 1, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 1795378244.984265, NULL, 1795378244.986123, NULL);
INSERT INTO public.jobs (seq, id, name, kind, lane, priority, effort, status, args, result, error, retry_count, max_retries, retry_base, attempt, backoff_until, published_at, worker, lease_until, time_limit, unique_key, canvas, plan_id, task_id, round, created_at, started_at, status_updated_at, dead_at) VALUES (7, 'job-14', 'test.add', 'call', 'code', 3, 2, 'pending', '{"args":["\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line",1000000000000000000000000000000],"kwargs":{"x":0.1}}', NULL, NULL, 0, 3, 1, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 1795378244.987319, NULL, 1795378244.987319, NULL);
INSERT INTO public.jobs (seq, id, name, kind, lane, priority, effort, status, args, result, error, retry_count, max_retries, retry_base, attempt, backoff_until, published_at, worker, lease_until, time_limit, unique_key, canvas, plan_id, task_id, round, created_at, started_at, status_updated_at, dead_at) VALUES (8, 'id 1 é🦀 ''quoted'' \ 100 %
next line', 'name 1 é🦀 ''quoted'' \ 100 %
next line', 'kind 1 é🦀 ''quoted'' \ 100 %
next line', 'odd', 4, 1, 'blocked', '{"args": ["\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line", 1000000000000000000000000000000, 1.0, null], "kwargs": {"nul": "\u0000", "deep": [[{}]]}}', '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}', 'error 1 é🦀 ''quoted'' \ 100 %
next line', 1, 1, 1700000000.1, 1, 1700000000.1, 1700000000.1, 'worker 1 é🦀 ''quoted'' \ 100 %
next line', 1700000000.1, 1700000000.1, 'unique_key 1 é🦀 ''quoted'' \ 100 %
next line', '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}', 'plan_id 1 é🦀 ''quoted'' \ 100 %
next line', 'task_id 1 é🦀 ''quoted'' \ 100 %
next line', 1, 1700000000.1, 1700000000.1, 1700000000.1, 1700000000.1);
INSERT INTO public.jobs (seq, id, name, kind, lane, priority, effort, status, args, result, error, retry_count, max_retries, retry_base, attempt, backoff_until, published_at, worker, lease_until, time_limit, unique_key, canvas, plan_id, task_id, round, created_at, started_at, status_updated_at, dead_at) VALUES (9, 'id 2 é🦀 ''quoted'' \ 100 %
next line', 'name 2 é🦀 ''quoted'' \ 100 %
next line', 'kind 2 é🦀 ''quoted'' \ 100 %
next line', 'odd', 4, 2, 'blocked', '{"args": ["\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line", 1000000000000000000000000000000, 1.0, null], "kwargs": {"nul": "\u0000", "deep": [[{}]]}}', NULL, NULL, 2, 2, 1700000000.2, 2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 2, 1700000000.2, NULL, 1700000000.2, NULL);
INSERT INTO public.plans (id, name, status, digest, source, plan_dir, repo, base_commit, branch, spec, created_at, ended_at) VALUES ('id 1 é🦀 ''quoted'' \ 100 %
next line', 'name 1 é🦀 ''quoted'' \ 100 %
next line', 'running', 'digest 1 é🦀 ''quoted'' \ 100 %
next line', 'source 1 é🦀 ''quoted'' \ 100 %
next line', 'plan_dir 1 é🦀 ''quoted'' \ 100 %
next line', 'repo 1 é🦀 ''quoted'' \ 100 %
next line', 'base_commit 1 é🦀 ''quoted'' \ 100 %
next line', 'branch 1 é🦀 ''quoted'' \ 100 %
next line', '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}', 1700000000.1, 1700000000.1);
INSERT INTO public.plans (id, name, status, digest, source, plan_dir, repo, base_commit, branch, spec, created_at, ended_at) VALUES ('id 2 é🦀 ''quoted'' \ 100 %
next line', 'name 2 é🦀 ''quoted'' \ 100 %
next line', 'running', 'digest 2 é🦀 ''quoted'' \ 100 %
next line', 'source 2 é🦀 ''quoted'' \ 100 %
next line', 'plan_dir 2 é🦀 ''quoted'' \ 100 %
next line', 'repo 2 é🦀 ''quoted'' \ 100 %
next line', 'base_commit 2 é🦀 ''quoted'' \ 100 %
next line', 'branch 2 é🦀 ''quoted'' \ 100 %
next line', '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}', 1700000000.2, NULL);
INSERT INTO public.task_needs (plan_id, needs_id, task_id) VALUES ('id 1 é🦀 ''quoted'' \ 100 %
next line', 'needs_id 1 é🦀 ''quoted'' \ 100 %
next line', 'task_id 1 é🦀 ''quoted'' \ 100 %
next line');
INSERT INTO public.task_needs (plan_id, needs_id, task_id) VALUES ('id 2 é🦀 ''quoted'' \ 100 %
next line', 'needs_id 2 é🦀 ''quoted'' \ 100 %
next line', 'task_id 2 é🦀 ''quoted'' \ 100 %
next line');
INSERT INTO public.tasks (plan_id, id, "position", title, status, stage, spec, waiting_on, fix_round, max_fix_rounds, commit_id, error, status_updated_at) VALUES ('id 1 é🦀 ''quoted'' \ 100 %
next line', 'id 1 é🦀 ''quoted'' \ 100 %
next line', 1, 'title 1 é🦀 ''quoted'' \ 100 %
next line', 'waiting', 'stage 1 é🦀 ''quoted'' \ 100 %
next line', '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}', 1, 1, 1, 'commit_id 1 é🦀 ''quoted'' \ 100 %
next line', 'error 1 é🦀 ''quoted'' \ 100 %
next line', 1700000000.1);
INSERT INTO public.tasks (plan_id, id, "position", title, status, stage, spec, waiting_on, fix_round, max_fix_rounds, commit_id, error, status_updated_at) VALUES ('id 2 é🦀 ''quoted'' \ 100 %
next line', 'id 2 é🦀 ''quoted'' \ 100 %
next line', 2, 'title 2 é🦀 ''quoted'' \ 100 %
next line', 'waiting', NULL, '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}', 2, 2, 2, NULL, NULL, 1700000000.2);
INSERT INTO public.worker_health (worker_id, lane, tier, active_tasks, capacity_limit, status, last_seen) VALUES ('worker_id 1 é🦀 ''quoted'' \ 100 %
next line', 'lane 1 é🦀 ''quoted'' \ 100 %
next line', 'tier 1 é🦀 ''quoted'' \ 100 %
next line', 1, 1, 'status 1 é🦀 ''quoted'' \ 100 %
next line', 1700000000.1);
INSERT INTO public.worker_health (worker_id, lane, tier, active_tasks, capacity_limit, status, last_seen) VALUES ('worker_id 2 é🦀 ''quoted'' \ 100 %
next line', 'lane 2 é🦀 ''quoted'' \ 100 %
next line', 'tier 2 é🦀 ''quoted'' \ 100 %
next line', 2, 2, 'status 2 é🦀 ''quoted'' \ 100 %
next line', 1700000000.2);
SELECT pg_catalog.setval('public.agent_outputs_id_seq', 2, true);
SELECT pg_catalog.setval('public.consensus_runs_id_seq', 2, true);
SELECT pg_catalog.setval('public.events_id_seq', 2, true);
SELECT pg_catalog.setval('public.job_history_id_seq', 17, true);
SELECT pg_catalog.setval('public.jobs_seq_seq', 9, true);
ALTER TABLE ONLY public.agent_outputs
    ADD CONSTRAINT agent_outputs_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.consensus_runs
    ADD CONSTRAINT consensus_runs_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.job_history_archive
    ADD CONSTRAINT job_history_archive_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.job_history
    ADD CONSTRAINT job_history_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT jobs_id_key UNIQUE (id);
ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT jobs_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY public.plans
    ADD CONSTRAINT plans_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.task_needs
    ADD CONSTRAINT task_needs_pkey PRIMARY KEY (plan_id, needs_id, task_id);
ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_pkey PRIMARY KEY (plan_id, id);
ALTER TABLE ONLY public.consensus_runs
    ADD CONSTRAINT uq_consensus_run UNIQUE (spec_id, stage, run_timestamp);
ALTER TABLE ONLY public.worker_health
    ADD CONSTRAINT worker_health_pkey PRIMARY KEY (worker_id, lane);
CREATE INDEX idx_agent_outputs_agent ON public.agent_outputs USING btree (agent_name);
CREATE INDEX idx_agent_outputs_run ON public.agent_outputs USING btree (run_id);
CREATE INDEX idx_archive_job ON public.job_history_archive USING btree (job_id, id);
CREATE INDEX idx_backoff_ready ON public.jobs USING btree (backoff_until) WHERE ((status = 'pending'::text) AND (backoff_until IS NOT NULL));
CREATE INDEX idx_consensus_spec_stage ON public.consensus_runs USING btree (spec_id, stage);
CREATE INDEX idx_consensus_timestamp ON public.consensus_runs USING btree (run_timestamp);
CREATE INDEX idx_events_session ON public.events USING btree (session_id, id);
CREATE INDEX idx_history_job ON public.job_history USING btree (job_id, id);
CREATE INDEX idx_history_time ON public.job_history USING btree ("timestamp");
CREATE INDEX idx_jobs_dead ON public.jobs USING btree (dead_at) WHERE (dead_at IS NOT NULL);
CREATE INDEX idx_jobs_lease ON public.jobs USING btree (lease_until) WHERE (status = 'processing'::text);
CREATE INDEX idx_jobs_outbox ON public.jobs USING btree (priority, seq) WHERE ((status = 'pending'::text) AND (backoff_until IS NULL) AND (published_at IS NULL));
CREATE INDEX idx_jobs_plan ON public.jobs USING btree (plan_id, task_id) WHERE (plan_id IS NOT NULL);
CREATE INDEX idx_jobs_ready ON public.jobs USING btree (lane, priority, seq) WHERE ((status = 'pending'::text) AND (backoff_until IS NULL));
CREATE UNIQUE INDEX idx_jobs_unique ON public.jobs USING btree (unique_key) WHERE ((unique_key IS NOT NULL) AND (status = ANY (ARRAY['blocked'::text, 'pending'::text, 'processing'::text])));
CREATE INDEX idx_plans_name ON public.plans USING btree (name, created_at);
CREATE TRIGGER trg_job_moved AFTER UPDATE OF status ON public.jobs FOR EACH ROW WHEN ((old.status IS DISTINCT FROM new.status)) EXECUTE FUNCTION public.vibe_job_history();
CREATE TRIGGER trg_job_submitted AFTER INSERT ON public.jobs FOR EACH ROW EXECUTE FUNCTION public.vibe_job_history();
ALTER TABLE ONLY public.agent_outputs
    ADD CONSTRAINT agent_outputs_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.consensus_runs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.task_needs
    ADD CONSTRAINT task_needs_plan_id_fkey FOREIGN KEY (plan_id) REFERENCES public.plans(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_plan_id_fkey FOREIGN KEY (plan_id) REFERENCES public.plans(id) ON DELETE CASCADE;
