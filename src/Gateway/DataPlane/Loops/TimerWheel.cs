using System.Numerics;

namespace Gateway.DataPlane.Loops;

/// <summary>Something that is due at a moment on its loop. Moving a deadline further away costs one write.</summary>
internal abstract class LoopTimer
{
    internal LoopTimer? TimerNext;
    internal LoopTimer? TimerPrevious;

    // Tick of the slot it stands in; -1: in none. May be earlier than Due: it is then looked at and put further away.
    internal long TimerTick = -1;

    /// <summary>When it is due, in milliseconds of the loop; meaningful while it is set.</summary>
    internal long Due;

    /// <summary>It is due. It stands in no slot now and may be set again.</summary>
    protected internal abstract void OnDue();
}

/// <summary>
/// The timers of one loop, to the nearest 32 ms upwards. Setting, moving and removing cost the same however many there are; nearly
/// every timer of a balancer is moved or removed before it is due. One thread.
/// </summary>
internal sealed class TimerWheel
{
    /// <summary>Milliseconds of a tick.</summary>
    public const int TickMs = 32;

    // 65 s: the usual timeouts stand in the slot of their time; longer ones are looked at once a turn.
    private const int Slots = 2048;

    private readonly LoopTimer?[] _slots = new LoopTimer?[Slots];
    private readonly ulong[] _used = new ulong[Slots / 64];
    private long _tick;

    // The chain that Advance walks: its timers hang in no slot.
    private LoopTimer? _expiring;

    private readonly Action<Exception, LoopTimer> _fault;

    /// <summary>Begins at <paramref name="now"/> milliseconds.</summary>
    /// <param name="now">Milliseconds of the loop.</param>
    /// <param name="fault">Told of a timer that threw; the others go on.</param>
    public TimerWheel(long now, Action<Exception, LoopTimer> fault) => (_tick, _fault) = (now / TickMs, fault);

    /// <summary>Timers that are set.</summary>
    public int Count { get; private set; }

    /// <summary>Sets a timer, whether it was set or not.</summary>
    public void Set(LoopTimer timer, long due)
    {
        timer.Due = due;
        long tick = Math.Clamp((due + TickMs - 1) / TickMs, _tick + 1, _tick + Slots - 1);
        if (timer.TimerTick >= 0)
        {
            if (timer.TimerTick <= tick)
            {
                return;
            }

            Unlink(timer);
        }

        Link(timer, tick);
    }

    /// <summary>Removes a timer; nothing where it is not set.</summary>
    public void Cancel(LoopTimer timer)
    {
        if (timer.TimerTick >= 0)
        {
            Unlink(timer);
        }
    }

    /// <summary>Runs what is due at <paramref name="now"/>.</summary>
    public void Advance(long now)
    {
        long target = now / TickMs;
        if (Count == 0 || target - _tick > Slots)
        {
            // Nothing is set, or every slot is passed at least once: no need to walk what lies between twice.
            long from = Math.Max(_tick, target - Slots);
            _tick = Count == 0 ? Math.Max(_tick, target) : from;
        }

        while (_tick < target)
        {
            _tick++;
            int slot = (int)(_tick & (Slots - 1));
            if ((_used[slot >> 6] & (1UL << (slot & 63))) == 0)
            {
                continue;
            }

            // Those that are put into this slot again while it is walked are due a whole turn later.
            LoopTimer? first = _slots[slot];
            _slots[slot] = null;
            _used[slot >> 6] &= ~(1UL << (slot & 63));
            Expire(first, now);
        }
    }

    /// <summary>Milliseconds from <paramref name="now"/> until something may be due; -1 where nothing is set.</summary>
    public int Delay(long now)
    {
        if (Count == 0)
        {
            return -1;
        }

        for (int ahead = 1; ahead <= Slots;)
        {
            int slot = (int)((_tick + ahead) & (Slots - 1));
            ulong rest = _used[slot >> 6] >> (slot & 63);
            if (rest != 0)
            {
                return (int)Math.Max(0, ((_tick + ahead + BitOperations.TrailingZeroCount(rest)) * TickMs) - now);
            }

            ahead += 64 - (slot & 63);
        }

        return TickMs;
    }

    private void Expire(LoopTimer? first, long now)
    {
        // The chain hangs in no slot any more. A timer that runs may cancel others of the chain, so it is kept as a list.
        _expiring = first;
        while (_expiring is { } timer)
        {
            _expiring = timer.TimerNext;
            if (_expiring is not null)
            {
                _expiring.TimerPrevious = null;
            }

            (timer.TimerNext, timer.TimerTick) = (null, -1);
            Count--;
            if (timer.Due > now)
            {
                Set(timer, timer.Due);
            }
            else
            {
                try
                {
                    timer.OnDue();
                }
                catch (Exception e)
                {
                    _fault(e, timer);
                }
            }
        }
    }

    private void Link(LoopTimer timer, long tick)
    {
        int slot = (int)(tick & (Slots - 1));
        LoopTimer? next = _slots[slot];
        (timer.TimerTick, timer.TimerPrevious, timer.TimerNext) = (tick, null, next);
        if (next is not null)
        {
            next.TimerPrevious = timer;
        }

        _slots[slot] = timer;
        _used[slot >> 6] |= 1UL << (slot & 63);
        Count++;
    }

    private void Unlink(LoopTimer timer)
    {
        int slot = (int)(timer.TimerTick & (Slots - 1));
        if (timer.TimerPrevious is { } previous)
        {
            previous.TimerNext = timer.TimerNext;
        }
        else if (ReferenceEquals(_slots[slot], timer))
        {
            _slots[slot] = timer.TimerNext;
            if (timer.TimerNext is null)
            {
                _used[slot >> 6] &= ~(1UL << (slot & 63));
            }
        }
        else
        {
            _expiring = timer.TimerNext;
        }

        if (timer.TimerNext is { } next)
        {
            next.TimerPrevious = timer.TimerPrevious;
        }

        (timer.TimerNext, timer.TimerPrevious, timer.TimerTick) = (null, null, -1);
        Count--;
    }
}
