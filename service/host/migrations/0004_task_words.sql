-- What tasks are found by: title, keyword, address and plugin, in small letters. Apart from `tasks`, whose rows are
-- large: a look for words reads this table only, newest first, and ends with the page that it is for.
CREATE TABLE task_words (
    seq   INTEGER PRIMARY KEY REFERENCES tasks (seq) ON DELETE CASCADE,
    words TEXT NOT NULL
);

INSERT INTO task_words
SELECT seq, lower(
    coalesce(json_extract(body, '$.title'), '') || char(10) || coalesce(json_extract(body, '$.keyword'), '') || char(10) ||
    coalesce(json_extract(body, '$.plugin_name'), '') || char(10) || substr(coalesce(json_extract(body, '$.url'), ''), 1, 2000)
)
FROM (SELECT seq, CAST(task AS TEXT) AS body FROM tasks)
WHERE json_valid(body);
