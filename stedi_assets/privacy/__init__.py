"""Privacy below the tables: keys, pseudonyms, the privacy folder, tombstones, and the suppression of erased people.

``folder`` keeps documents private, ``keys`` keeps secrets, ``pseudonyms`` makes ``subject_id``. ``tombstones`` are what
stays of erased people, and ``suppression`` recognises them in what lands. Requests of people are in
``subject_requests``.
"""
