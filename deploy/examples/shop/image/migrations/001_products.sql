CREATE TABLE products (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL
);
INSERT INTO products (id, name) VALUES (1, 'rope'), (2, 'anchor');
