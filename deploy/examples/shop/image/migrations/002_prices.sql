-- Comes with version 1.1.
ALTER TABLE products ADD COLUMN price INTEGER NOT NULL DEFAULT 0;
UPDATE products SET price = 10 * id;
