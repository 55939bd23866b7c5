namespace Gateway.DataPlane.Health;

/// <summary>
/// Probes in the order they are due: a binary heap in which every entry knows its place, so that an entry can move or leave at
/// once. A queue that only pops would keep what was removed until it is due, which may be days. Not thread-safe.
/// </summary>
internal sealed class ProbeQueue
{
    private readonly List<ProbeSchedule> _heap = [];

    /// <summary>Entries.</summary>
    public int Count => _heap.Count;

    /// <summary>The entry due first, or null.</summary>
    public ProbeSchedule? First => _heap.Count == 0 ? null : _heap[0];

    /// <summary>Puts an entry at its due time; moves it when it is already here.</summary>
    public void Put(ProbeSchedule entry, long due)
    {
        entry.Due = due;
        if (entry.Place < 0)
        {
            entry.Place = _heap.Count;
            _heap.Add(entry);
        }

        Settle(entry);
    }

    /// <summary>Takes an entry out; nothing happens when it is not here.</summary>
    public void Remove(ProbeSchedule entry)
    {
        int place = entry.Place;
        if (place < 0)
        {
            return;
        }

        entry.Place = -1;
        ProbeSchedule last = _heap[^1];
        _heap.RemoveAt(_heap.Count - 1);
        if (!ReferenceEquals(last, entry))
        {
            _heap[place] = last;
            last.Place = place;
            Settle(last);
        }
    }

    private void Settle(ProbeSchedule entry)
    {
        int place = entry.Place;
        while (place > 0 && _heap[(place - 1) / 2].Due > entry.Due)
        {
            place = Lift((place - 1) / 2, place);
        }

        while (true)
        {
            int child = (2 * place) + 1;
            if (child + 1 < _heap.Count && _heap[child + 1].Due < _heap[child].Due)
            {
                child++;
            }

            if (child >= _heap.Count || _heap[child].Due >= entry.Due)
            {
                break;
            }

            place = Lift(child, place);
        }

        _heap[place] = entry;
        entry.Place = place;
    }

    // Moves the entry at "from" to "to" and returns the place it left.
    private int Lift(int from, int to)
    {
        _heap[to] = _heap[from];
        _heap[to].Place = to;
        return from;
    }
}
